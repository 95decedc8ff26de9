"""Municipal events: the data of each type, validated, and the CloudEvents ``type`` it travels under."""

from schemas.events.base import EventData
from schemas.events.council_meeting import CouncilMeeting
from schemas.events.fields import Localized, LocalizedText, Place
from schemas.events.flood_vigilance import FloodVigilance, Level, Trend
from schemas.events.notice import Notice
from schemas.events.parsing import TYPES, Fault, Invalid, UnknownType, parse, template_of
from schemas.events.road_works import BusChange, RoadWorks, Traffic
from schemas.events.school_disruption import Disruption, SchoolDisruption
from schemas.events.waste_collection import WasteCollectionChanged, WasteKind
from schemas.events.water_quality import Restriction, WaterQuality

__all__ = [
    "TYPES",
    "BusChange",
    "CouncilMeeting",
    "Disruption",
    "EventData",
    "Fault",
    "FloodVigilance",
    "Invalid",
    "Level",
    "Localized",
    "LocalizedText",
    "Notice",
    "Place",
    "Restriction",
    "RoadWorks",
    "SchoolDisruption",
    "Traffic",
    "Trend",
    "UnknownType",
    "WasteCollectionChanged",
    "WasteKind",
    "WaterQuality",
    "parse",
    "template_of",
]
