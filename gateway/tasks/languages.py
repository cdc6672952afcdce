"""Languages by ISO 639 code and English name; knows no model's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping

# The languages of IndicTrans2's translations from English, as FLORES-200 writes them: ISO 639-3 and ISO 15924.
_INDIC = """
    asm_Beng awa_Deva ben_Beng bho_Deva brx_Deva doi_Deva eng_Latn gom_Deva gon_Deva guj_Gujr hin_Deva hne_Deva
    kan_Knda kas_Arab kas_Deva kha_Latn lus_Latn mag_Deva mai_Deva mal_Mlym mar_Deva mni_Beng mni_Mtei npi_Deva
    ory_Orya pan_Guru san_Deva sat_Olck snd_Arab snd_Deva tam_Taml tel_Telu urd_Arab unr_Deva
"""
INDIC = tuple(_INDIC.split())

# The hundred of M2M-100 (Fan et al. 2020, table 1), with the names that ISO 639 gives them in English.
M2M100: Mapping[str, tuple[str, ...]] = {
    "af": ("Afrikaans",),
    "am": ("Amharic",),
    "ar": ("Arabic",),
    "ast": ("Asturian",),
    "az": ("Azerbaijani",),
    "ba": ("Bashkir",),
    "be": ("Belarusian",),
    "bg": ("Bulgarian",),
    "bn": ("Bengali", "Bangla"),
    "br": ("Breton",),
    "bs": ("Bosnian",),
    "ca": ("Catalan", "Valencian"),
    "ceb": ("Cebuano",),
    "cs": ("Czech",),
    "cy": ("Welsh",),
    "da": ("Danish",),
    "de": ("German",),
    "el": ("Greek",),
    "en": ("English",),
    "es": ("Spanish", "Castilian"),
    "et": ("Estonian",),
    "fa": ("Persian", "Farsi"),
    "ff": ("Fulah",),
    "fi": ("Finnish",),
    "fr": ("French",),
    "fy": ("Western Frisian", "Frisian"),
    "ga": ("Irish",),
    "gd": ("Scottish Gaelic", "Gaelic"),
    "gl": ("Galician",),
    "gu": ("Gujarati",),
    "ha": ("Hausa",),
    "he": ("Hebrew",),
    "hi": ("Hindi",),
    "hr": ("Croatian",),
    "ht": ("Haitian Creole", "Haitian"),
    "hu": ("Hungarian",),
    "hy": ("Armenian",),
    "id": ("Indonesian",),
    "ig": ("Igbo",),
    "ilo": ("Iloko", "Ilocano"),
    "is": ("Icelandic",),
    "it": ("Italian",),
    "ja": ("Japanese",),
    "jv": ("Javanese",),
    "ka": ("Georgian",),
    "kk": ("Kazakh",),
    "km": ("Central Khmer", "Khmer"),
    "kn": ("Kannada",),
    "ko": ("Korean",),
    "lb": ("Luxembourgish", "Letzeburgesch"),
    "lg": ("Ganda", "Luganda"),
    "ln": ("Lingala",),
    "lo": ("Lao",),
    "lt": ("Lithuanian",),
    "lv": ("Latvian",),
    "mg": ("Malagasy",),
    "mk": ("Macedonian",),
    "ml": ("Malayalam",),
    "mn": ("Mongolian",),
    "mr": ("Marathi",),
    "ms": ("Malay",),
    "my": ("Burmese",),
    "ne": ("Nepali",),
    "nl": ("Dutch", "Flemish"),
    "no": ("Norwegian",),
    "ns": ("Northern Sotho", "Pedi"),
    "oc": ("Occitan",),
    "or": ("Oriya", "Odia"),
    "pa": ("Panjabi", "Punjabi"),
    "pl": ("Polish",),
    "ps": ("Pushto", "Pashto"),
    "pt": ("Portuguese",),
    "ro": ("Romanian", "Moldavian"),
    "ru": ("Russian",),
    "sd": ("Sindhi",),
    "si": ("Sinhala", "Sinhalese"),
    "sk": ("Slovak",),
    "sl": ("Slovenian",),
    "so": ("Somali",),
    "sq": ("Albanian",),
    "sr": ("Serbian",),
    "ss": ("Swati",),
    "su": ("Sundanese",),
    "sv": ("Swedish",),
    "sw": ("Swahili",),
    "ta": ("Tamil",),
    "th": ("Thai",),
    "tl": ("Tagalog",),
    "tn": ("Tswana",),
    "tr": ("Turkish",),
    "uk": ("Ukrainian",),
    "ur": ("Urdu",),
    "uz": ("Uzbek",),
    "vi": ("Vietnamese",),
    "wo": ("Wolof",),
    "xh": ("Xhosa",),
    "yi": ("Yiddish",),
    "yo": ("Yoruba",),
    "zh": ("Chinese",),
    "zu": ("Zulu",),
}


def find_code(language: str, known: Mapping[str, tuple[str, ...]]) -> str | None:
    """The code in `known` of a language given by code or English name, in any case; None if it is not there."""
    wanted = language.strip().lower()
    if wanted in known:
        return wanted
    return next((code for code, names in known.items() if wanted in map(str.lower, names)), None)
