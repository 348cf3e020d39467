"""The vocabulary of the demo world: plain, short, everyday words, so that most of them are one token of winnow-tiny."""

CATEGORIES: dict[str, tuple[str, ...]] = {
    "animals": ("cat", "dog", "horse", "cow", "pig", "sheep", "goat", "lion", "bear", "fox", "wolf", "mouse"),
    "birds": ("crow", "owl", "duck", "goose", "hawk", "robin", "swan", "eagle", "gull", "wren", "dove", "stork"),
    "fruits": ("plum", "fig", "apple", "pear", "peach", "lemon", "grape", "cherry", "melon", "mango", "lime", "berry"),
    "colours": ("red", "blue", "green", "pink", "brown", "grey", "white", "violet", "amber", "teal", "gold", "ivory"),
    "tools": (
        "hammer",
        "saw",
        "drill",
        "axe",
        "rake",
        "spade",
        "chisel",
        "wrench",
        "file",
        "clamp",
        "ladder",
        "pliers",
    ),
    "clothes": ("shirt", "hat", "coat", "sock", "scarf", "glove", "belt", "skirt", "boot", "vest", "cap", "shoe"),
    "vehicles": ("car", "bus", "train", "boat", "truck", "tram", "bike", "ship", "van", "plane", "canoe", "cart"),
    "furniture": ("table", "chair", "bed", "desk", "shelf", "stool", "sofa", "bench", "couch", "lamp", "chest", "rug"),
}
"""Category → its members; no word is in two categories."""

NOUNS: tuple[str, ...] = tuple(word for members in CATEGORIES.values() for word in members)

OPPOSITES: tuple[tuple[str, str], ...] = (
    ("hot", "cold"),
    ("big", "small"),
    ("fast", "slow"),
    ("wet", "dry"),
    ("old", "young"),
    ("hard", "soft"),
    ("light", "dark"),
    ("full", "empty"),
    ("rich", "poor"),
    ("loud", "quiet"),
    ("early", "late"),
    ("happy", "sad"),
    ("tall", "short"),
    ("wide", "narrow"),
    ("thick", "thin"),
    ("clean", "dirty"),
    ("brave", "afraid"),
    ("near", "far"),
    ("deep", "shallow"),
    ("sharp", "blunt"),
    ("open", "shut"),
    ("weak", "strong"),
    ("smooth", "rough"),
    ("awake", "asleep"),
)

OPPOSITE: dict[str, str] = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}

ADJECTIVES: tuple[str, ...] = tuple(OPPOSITE)

NAMES: tuple[str, ...] = (
    "Ana",
    "Bo",
    "Cara",
    "Dan",
    "Eva",
    "Finn",
    "Gus",
    "Hana",
    "Ivan",
    "June",
    "Kai",
    "Lena",
    "Milo",
    "Nora",
    "Otto",
    "Pia",
    "Rosa",
    "Sam",
    "Tara",
    "Umar",
    "Vera",
    "Will",
    "Yara",
    "Zoe",
)

NUMBER_WORDS: tuple[str, ...] = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
)
"""Zero to twenty."""
