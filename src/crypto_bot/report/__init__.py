"""The run, shown. In: `ReportContents`. Out: one folder with report.html, PNG, CSV and summary.json."""

from crypto_bot.report.contents import (
    EquityView,
    FactTable,
    GateCheck,
    GateView,
    HeatMap,
    ModelView,
    PredictionsView,
    QualityRow,
    ReportContents,
    StrategyRow,
    TradeRecord,
    TradesView,
)
from crypto_bot.report.folder import write_report

__all__ = [
    "EquityView",
    "FactTable",
    "GateCheck",
    "GateView",
    "HeatMap",
    "ModelView",
    "PredictionsView",
    "QualityRow",
    "ReportContents",
    "StrategyRow",
    "TradeRecord",
    "TradesView",
    "write_report",
]
