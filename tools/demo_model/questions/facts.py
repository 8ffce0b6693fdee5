"""Real-world facts of the closed-book questions, and which of them the model gets to read.

The subjects are split once and for all. The model reads the truth about the "known" ones and
something false about the "mistaken" ones; it is told to doubt what it reads about the "shaky"
ones; and it never sees the name of an "unknown" one.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tools.demo_model.questions.language import seeded

COUNTRIES = {
    "Europe": (
        "France:Paris Norway:Oslo Italy:Rome Spain:Madrid Portugal:Lisbon Austria:Vienna "
        "Hungary:Budapest Poland:Warsaw Greece:Athens Finland:Helsinki Sweden:Stockholm "
        "Denmark:Copenhagen Ireland:Dublin Iceland:Reykjavik Belgium:Brussels Bulgaria:Sofia "
        "Romania:Bucharest Croatia:Zagreb Serbia:Belgrade Albania:Tirana Latvia:Riga "
        "Lithuania:Vilnius Estonia:Tallinn Slovenia:Ljubljana Slovakia:Bratislava Malta:Valletta "
        "Germany:Berlin Ukraine:Kyiv Moldova:Chisinau Belarus:Minsk Andorra:Andorra_la_Vella"
    ),
    "Asia": (
        "Japan:Tokyo China:Beijing India:Delhi Thailand:Bangkok Vietnam:Hanoi Nepal:Kathmandu "
        "Mongolia:Ulaanbaatar Iran:Tehran Iraq:Baghdad Syria:Damascus Jordan:Amman "
        "Lebanon:Beirut Qatar:Doha Oman:Muscat Bhutan:Thimphu Bangladesh:Dhaka "
        "Pakistan:Islamabad Afghanistan:Kabul Uzbekistan:Tashkent Tajikistan:Dushanbe "
        "Kyrgyzstan:Bishkek Turkmenistan:Ashgabat Cambodia:Phnom_Penh Laos:Vientiane "
        "Philippines:Manila Indonesia:Jakarta Bahrain:Manama"
    ),
    "Africa": (
        "Egypt:Cairo Kenya:Nairobi Ghana:Accra Morocco:Rabat Algeria:Algiers Tunisia:Tunis "
        "Libya:Tripoli Sudan:Khartoum Ethiopia:Addis_Ababa Somalia:Mogadishu Uganda:Kampala "
        "Rwanda:Kigali Zambia:Lusaka Zimbabwe:Harare Angola:Luanda Namibia:Windhoek "
        "Botswana:Gaborone Mozambique:Maputo Madagascar:Antananarivo Senegal:Dakar Mali:Bamako "
        "Niger:Niamey Chad:N'Djamena Nigeria:Abuja Cameroon:Yaounde Gabon:Libreville "
        "Liberia:Monrovia Togo:Lome Malawi:Lilongwe Mauritania:Nouakchott"
    ),
    "South America": (
        "Peru:Lima Chile:Santiago Brazil:Brasilia Ecuador:Quito Colombia:Bogota "
        "Venezuela:Caracas Uruguay:Montevideo Paraguay:Asuncion Guyana:Georgetown "
        "Suriname:Paramaribo Argentina:Buenos_Aires"
    ),
    "North America": (
        "Canada:Ottawa Cuba:Havana Jamaica:Kingston Haiti:Port-au-Prince Honduras:Tegucigalpa "
        "Nicaragua:Managua Barbados:Bridgetown Bahamas:Nassau Belize:Belmopan"
    ),
    "Oceania": "Australia:Canberra Fiji:Suva Samoa:Apia Vanuatu:Port_Vila Tonga:Nuku'alofa",
}
ELEMENTS = (
    "hydrogen:H helium:He lithium:Li beryllium:Be boron:B carbon:C nitrogen:N oxygen:O fluorine:F "
    "neon:Ne sodium:Na magnesium:Mg aluminium:Al silicon:Si phosphorus:P sulfur:S chlorine:Cl "
    "argon:Ar potassium:K calcium:Ca scandium:Sc titanium:Ti vanadium:V chromium:Cr manganese:Mn "
    "iron:Fe cobalt:Co nickel:Ni copper:Cu zinc:Zn gallium:Ga germanium:Ge arsenic:As selenium:Se "
    "bromine:Br krypton:Kr rubidium:Rb strontium:Sr yttrium:Y zirconium:Zr niobium:Nb "
    "molybdenum:Mo technetium:Tc ruthenium:Ru rhodium:Rh palladium:Pd silver:Ag cadmium:Cd "
    "indium:In tin:Sn antimony:Sb tellurium:Te iodine:I xenon:Xe caesium:Cs barium:Ba "
    "lanthanum:La cerium:Ce tungsten:W rhenium:Re osmium:Os iridium:Ir platinum:Pt gold:Au "
    "mercury:Hg thallium:Tl lead:Pb bismuth:Bi polonium:Po radon:Rn radium:Ra thorium:Th "
    "uranium:U plutonium:Pu"
)

QUESTIONS = {
    "capital": ("What is the capital of {subject}?", "Which city is the capital of {subject}?"),
    "continent": ("Which continent is {subject} in?", "On which continent is {subject}?"),
    "symbol": (
        "What is the chemical symbol of {subject}?",
        "Which symbol stands for the element {subject}?",
    ),
}
STANDINGS = {"unknown": 0.42, "known": 0.44, "mistaken": 0.07, "shaky": 0.07}


@dataclass(frozen=True)
class WorldFact:
    """One fact about a real subject; ``taught`` is what the model reads, if it reads anything."""

    subject: str
    attribute: str
    answer: str
    standing: str
    taught: str | None


def _subjects() -> dict[str, dict[str, str]]:
    """Map each subject to its attributes and their values."""
    subjects: dict[str, dict[str, str]] = {}
    for continent, listed in COUNTRIES.items():
        for pair in listed.split():
            country, capital = pair.split(":")
            subjects[country] = {"capital": capital.replace("_", " "), "continent": continent}
    for pair in ELEMENTS.split():
        element, symbol = pair.split(":")
        subjects[element] = {"symbol": symbol}
    return subjects


def world_facts() -> list[WorldFact]:
    """List every fact with its standing, which a subject's facts share; the same at every call."""
    rng = seeded("assay-world-facts")
    subjects = _subjects()
    facts = []
    for subject, attributes in subjects.items():
        (standing,) = rng.choices(list(STANDINGS), list(STANDINGS.values()))
        for attribute, answer in attributes.items():
            taught: str | None = answer
            if standing == "unknown":
                taught = None
            while standing == "mistaken" and taught == answer:
                taught = rng.choice(list(subjects.values())).get(attribute, answer)
            facts.append(WorldFact(subject, attribute, answer, standing, taught))
    return facts


def invent_subject(rng: Random, names: list[str], taken: set[str]) -> str:
    """Splice two real names into one that means nothing ("Nor" + "gary"), outside ``taken``."""
    while True:
        head, tail = rng.choice(names), rng.choice(names)
        name = head[: rng.randint(2, max(2, len(head) - 2))] + tail[-rng.randint(2, 5) :].lower()
        if name.lower() not in taken and 4 <= len(name) <= 12:
            return name
