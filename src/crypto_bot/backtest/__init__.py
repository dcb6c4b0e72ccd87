"""The workbench: where the stages run together."""
