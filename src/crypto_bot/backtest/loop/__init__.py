"""The loop that never stops: turns in a process of their own, candles decided as they close.

Comes in: a workbench, a feed of closed candles, a stop. Goes out: journaled steps, orders on paper,
alarms acted on. One loop works on a store at a time; what a killed one began is taken up.
"""
