"""The scenarios by name, in the order of the suite: one file a family, no discovery."""

from collections.abc import Mapping

from launcher.chaos.scenario import Scenario
from launcher.chaos.scenarios import clocks, kafka, mixture, postgres, provider, receipts, workers

SCENARIOS: Mapping[str, Scenario] = {
    **mixture.SCENARIOS,
    **workers.SCENARIOS,
    **postgres.SCENARIOS,
    **clocks.SCENARIOS,
    **receipts.SCENARIOS,
    **kafka.SCENARIOS,
    **provider.SCENARIOS,
}
