"""How a response says in other languages than English that it gives no answer.

The ten most used languages beside English (Hindi, Urdu, Bengali, Chinese, Spanish, Portuguese,
French, Arabic, Russian, Indonesian), and German, Italian and Japanese. Each has patterns for its
plain words (`workflow_scripts.metrics.wording`), which the leading sentence must contain, and which
in languages with the verb before its object must begin it after apologies and lead-ins.
"""

from __future__ import annotations

import re
import unicodedata

from .wording import Opening, plain_words


def _begins(lead_in: str, *patterns: str) -> str:
    return rf"^(?:(?:{lead_in}) )*(?:{'|'.join(patterns)})"


def _contains(*patterns: str) -> str:
    return "|".join(map(_as_plain_words, patterns))


def _as_plain_words(pattern: str) -> str:
    """Cut words at their vowel signs as `plain_words` does; " … " is for some words between."""
    return ".{0,60}".join(map(plain_words, pattern.split(" … ")))


_SPANISH = _begins(
    r"lo siento|lamento|lamentablemente|desafortunadamente|perdón|disculpa\w*|pero|según|"
    r"de acuerdo|"
    r"basándome|con|en|a|al|la|el|los|información|texto|contexto|pasaje|documentos?|proporcionad\w+",
    r"(?:yo )?(?:no (?:lo |la )?(?:sé|conozco|recuerdo)\b|desconozco|ignoro)",
    r"no (?:tengo|dispongo de|cuento con|poseo|encuentro|encontré|he encontrado|hay|se dispone de|"
    r"existe) (?:\w+ ){0,4}?(?:información|datos|detalles|idea|conocimiento|registros?|acceso|"
    r"respuesta|mención|contexto|suficiente)",
    r"no (?:puedo|podemos|pude|es posible|se puede) (?:\w+ )?(?:responder|determinar\w*|saber\w*|"
    r"encontrar|proporcionar|contestar|confirmar|decir)",
    r"no se (?:menciona|especifica|indica|proporciona|dice|encuentra)",
    r"(?:\w+ ){0,4}no (?:menciona|especifica|indica|proporciona|contiene|dice|incluye|ofrece)\b",
    r"(?:respuesta )?(?:es )?desconocid[ao]\b",
)
_PORTUGUESE = _begins(
    r"desculpe|lamento|sinto muito|infelizmente|mas|de acordo|segundo|com base|com|no|na|o|texto|"
    r"contexto|informações|fornecid\w+|passagem",
    r"(?:eu )?não (?:sei|conheço|lembro|faço ideia)\b",
    r"(?:eu )?não (?:tenho|possuo|encontrei|há|existem?|foi possível|consegui|consigo|posso|"
    r"é possível) (?:\w+ ){0,4}?(?:informaç\w+|dados|detalhes|acesso|conhecimento|resposta|"
    r"menção|contexto|responder|determinar|saber|encontrar|fornecer|confirmar|dizer|afirmar)",
    r"não (?:é|está|foi) (?:mencionad|especificad|informad|indicad|fornecid)\w+",
    r"(?:\w+ ){0,4}não (?:menciona|especifica|indica|fornece|contém|diz|inclui|informa)\b",
    r"(?:resposta )?(?:é )?desconhecid[ao]\b",
)
_FRENCH = _begins(
    r"désolée?|je suis|je regrette|malheureusement|mais|d après|selon|sur|base|dans|le|la|les|"
    r"texte|"
    r"contexte|passage|informations?|fournie?s?|des",
    r"je (?:ne (?:le |la )?sais pas|ne connais pas|l ignore|ignore|n ai (?:pas|aucune?)|"
    r"n ai (?:pas )?trouvé|ne dispose (?:pas|d aucune)|ne trouve (?:pas|aucune)|ne (?:peux|"
    r"suis)(?: pas)? (?:\w+ )?(?:pas|répondre|en mesure|déterminer|fournir|trouver|dire|sûre?))",
    r"je sais pas\b|aucune (?:information|idée|mention|donnée)",
    r"il n (?:y (?:a )?(?:pas|aucune?) (?:\w+ ){0,2}?(?:information|mention|réponse|donnée)|"
    r"est pas (?:possible|précisé|mentionné|indiqué|fait mention))",
    r"(?:\w+ ){0,5}(?:ne (?:mentionne|précise|indique|contient|fournit|dit|donne|permet) "
    r"(?:pas|aucune?)|n (?:indique pas|est pas (?:mentionné|précisé|indiqué)e?))\b",
    r"(?:réponse (?:est )?)?inconnue?\b",
)
_ITALIAN = _begins(
    r"mi dispiace|spiacente|purtroppo|ma|secondo|in base|nel|il|testo|contesto|passaggio",
    r"non (?:lo )?(?:so|conosco|ricordo)\b",
    r"non (?:ho|dispongo di|ci sono|c è|è possibile|posso|trovo|ho trovato) (?:\w+ ){0,4}?"
    r"(?:informazion\w+|dati|dettagli|idea|accesso|rispondere|determinare|sapere|fornire|trovare)",
    r"(?:\w+ ){0,4}non (?:è (?:specificat|menzionat|indicat)\w+|menziona|specifica|contiene|"
    r"dice)\b",
)
_GERMAN = _begins(
    r"es tut mir|tut mir|leid|leider|entschuldigung|aber|laut|basierend|auf|in|im|dem|den|text|"
    r"kontext|passage|informationen|bereitgestellten|gegebenen",
    r"(?:ich )?(?:das )?(?:weiß|weiss) (?:(?:ich|es|das|leider) )*nicht\b",
    r"(?:ich )?(?:habe|finde|besitze|konnte|kann|verfüge)\b(?: \w+){0,9}? (?:keine?n?|nicht)"
    r"(?: \w+){0,9}? ?(?:informationen|angaben|daten|ahnung|kenntnis|hinweise?|beantworten|"
    r"bestimmen|sagen|finden|ermitteln)\b",
    r"keine (?:ahnung|angaben?|informationen?)\b",
    r"es (?:gibt|liegen|sind) (?:\w+ ){0,4}?keine (?:\w+ )?(?:informationen|angaben|daten|"
    r"hinweise)",
    r"(?:\w+ ){0,6}(?:wird|ist|geht|lässt sich|enthält|gibt|erwähnt|nennt|sagt)\b(?: \w+){0,6}? "
    r"(?:nicht (?:erwähnt|angegeben|genannt|bekannt|hervor|beantworten|bestimmen)|"
    r"keine (?:informationen|angaben|auskunft))",
    r"unbekannt\b",
)
_RUSSIAN = _begins(
    r"извините|простите|прошу прощения|к сожалению|сожалею|но|согласно|в|на основе|тексте|"
    r"контексте",
    r"(?:я )?(?:(?:этого )?не знаю|не помню|не уверена?|не наш[её]л|не нашла|не располагаю|"
    r"не имею|не могу (?:\w+ )?(?:ответить|определить|сказать|найти|предоставить|дать|назвать))",
    r"(?:у меня |в \w+ \w+ )?нет (?:\w+ ){0,3}?(?:информации|данных|сведений|ответа|упоминан\w+|"
    r"доступа)",
    r"(?:\w+ ){0,5}не (?:указан\w*|упомина\w+|содерж\w+|сказано|говорится|сообща\w+)",
    r"(?:\w+ ){0,4}(?:недостаточно (?:информации|данных)|невозможно (?:ответить|определить))",
    r"неизвестно$|ответ неизвестен\b|информаци\w+ (?:\w+ ){0,4}?(?:отсутству\w+|нет)\b",
)
_INDONESIAN = _begins(
    r"maaf|mohon maaf|sayangnya|namun|tetapi|tapi|berdasarkan|dalam|teks|konteks|informasi|yang|"
    r"diberikan|saya minta",
    r"(?:saya )?(?:tidak|tak) (?:tahu|mengetahui|yakin|memiliki|punya|menemukan|dapat (?:\w+ )?"
    r"(?:menjawab|menentukan|menemukan|memberikan|memastikan)|bisa (?:\w+ )?(?:menjawab|"
    r"menentukan|menemukan|memberikan|memastikan))\b",
    r"tidak (?:ada|terdapat|cukup) (?:\w+ )?(?:informasi|data|jawaban|penjelasan)",
    r"tidak (?:disebutkan|dijelaskan|diketahui|tercantum)",
    r"(?:\w+ ){0,5}tidak (?:menyebutkan|menjelaskan|memuat|mencantumkan|memberikan|disebutkan)\b",
)
_ARABIC = _begins(
    r"عذرا|عذرًا|آسف|أنا|للأسف|لكن|ولكن|لكني|لكنني|بناء|بناءً|على|وفقا|وفقًا|حسب|في|النص|للنص|"
    r"المعلومات|المقدمة|السياق|أعتذر",
    r"لا (?:أعرف|أعلم|أدري|أملك|أمتلك|يذكر|يُذكر|يحتوي|يوضح|يحدد|يشير)",
    r"لا (?:أستطيع|يمكنني|يمكن) (?:\w+ )?(?:الإجابة|تحديد|معرفة|تقديم|العثور)",
    r"لا (?:توجد|يوجد|تتوفر|تتوافر) (?:\w+ ){0,4}?(?:معلومات|معلومة|ذكر|إجابة|بيانات)",
    r"(?:ليس|ليست) (?:لدي|لدينا|هناك)|لم (?:أجد|أتمكن|يذكر|يُذكر|يرد|يتم)|غير (?:معروف|مذكور|محدد)",
    r"(?:النص|السياق|المقطع) لا (?:يذكر|يحتوي|يوضح|يحدد|يشير|يقدم)",
)
_CHINESE = (
    r"^(?:(?:很|非常)?(?:抱歉|遗憾|对不起|不好意思) ?)?(?:但是?|可是)?我?(?:也|还|并)?"
    r"(?:不知道|不清楚|不确定|不太清楚|不了解|没有\w{0,8}(?:信息|资料|数据|答案|找到)|未找到|找不到|"
    r"(?:无法|不能)\w{0,8}(?:回答|确定|得知|判断|提供|确认|找到)|未知|未提(?:及|到)|不详|信息不足)|"
    r"(?:文中|文章|文本|段落|原文|上下文|资料|材料|信息|文档|内容|知识库)\w{0,6}?"
    r"(?:没有|并未|未|不)\w{0,4}?(?:提到|提及|说明|提供|包含|给出|涉及|指出|足以|足够)|"
    r"^(?:根据|基于)\w{0,20} ?\w{0,4}(?:无法|不能)\w{0,4}(?:确定|回答|得知|判断|得出)|"
    r"我(?:不知道|无法(?:回答|确定))"
)
_JAPANESE = (
    r"^(?!.*(?:です|だ|ます)が)(?:.*(?:わかりません|分かりません|わからない|分からない|知りません|"
    r"存じません|不明です|情報(?:は|が)(?:\w{0,12})?(?:ありません|見つかりません|含まれていません)|"
    r"記載(?:は|が)?(?:ありません|されていません)|言及(?:は|が)?(?:ありません|されていません)|"
    r"(?:お答え|回答|特定|判断)(?:すること)?(?:は|が)?できません|述べられていません)|"
    r"(?:不明|わかりかねます)$)"
)
_HINDI = _contains(
    "मुझे नहीं पता", "मुझे … नहीं पता", "मैं नहीं जानता", "मैं नहीं जानती", "मुझे नहीं मालूम",
    "जानकारी नहीं", "जानकारी उपलब्ध नहीं", "जानकारी मौजूद नहीं", "जानकारी … नहीं है",
    "उत्तर नहीं दे सकता", "उत्तर देने में असमर्थ", "उल्लेख नहीं", "नहीं बताया गया", "अज्ञात है",
    "नहीं बता सकता", "निर्धारित नहीं किया जा सकता",
)  # fmt: skip
_BENGALI = _contains(
    "আমি জানি না", "আমার জানা নেই", "আমি … জানি না", "তথ্য নেই", "তথ্য পাওয়া যায়নি",
    "উল্লেখ নেই", "উল্লেখ করা হয়নি", "তথ্য … নেই", "উত্তর দিতে পারছি না", "উত্তর দিতে পারব না",
    "বলা সম্ভব নয়", "অজানা",
)  # fmt: skip
_URDU = _contains(
    "مجھے نہیں معلوم", "مجھے … معلوم نہیں", "مجھے … نہیں معلوم", "میں نہیں جانتا", "معلومات نہیں",
    "معلومات … نہیں", "ذکر نہیں", "جواب نہیں دے سکتا", "جواب دینے سے قاصر", "نامعلوم",
    "نہیں بتایا گیا",
)  # fmt: skip

_ABSTAINING = re.compile(
    "|".join(
        f"(?:{unicodedata.normalize('NFKC', pattern)})"
        for pattern in (
            _SPANISH, _PORTUGUESE, _FRENCH, _ITALIAN, _GERMAN, _RUSSIAN, _INDONESIAN, _ARABIC,
            _CHINESE, _JAPANESE, _HINDI, _BENGALI, _URDU,
        )
    )
)  # fmt: skip
_GUESS = re.compile(
    r"\b(?:creo|supongo|probablemente|quizás?|tal vez|acho que|acredito|provavelmente|talvez|"
    r"je (?:pense|crois|suppose)|probablement|peut être|credo|penso|forse|probabilmente|"
    r"ich (?:glaube"
    r"|denke|vermute)|vermutlich|wahrscheinlich|vielleicht|думаю|полагаю|вероятно|наверное|возможно|"
    r"mungkin|saya (?:kira|pikir)|أعتقد|أظن|ربما)\b|我(?:想|认为|觉得|猜)|可能是|大概|也许|应该是|"
    r"と思い|おそらく|たぶん|でしょう|"
    + _contains("शायद", "मुझे लगता है", "সম্ভবত", "মনে হয়", "شاید", "میرا خیال")
)
_TURN = re.compile(
    r"\b(?:pero|mas|mais|porém|cependant|ma|aber|jedoch|но|однако|tetapi|tapi|namun|لكن|ولكن) "
    r"(?:es|fue|é|foi|c est|il|elle|er|sie|es ist|это|он|она|è|itu|هو|هي)\b"
)

_LONGEST = 500
"""Characters of a leading sentence that are looked at."""


def abstains_in_another_language(found: Opening) -> bool:
    """Whether a leading sentence abstains, and no guess or answer is given in it or after it."""
    if _ABSTAINING.search(found.words[:_LONGEST]) is None:
        return False
    words = " ".join([found.words, *map(plain_words, found.later)])
    return not (_GUESS.search(words) or _TURN.search(words))
