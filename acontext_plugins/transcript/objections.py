"""Objections: how people say that what was done is wrong, in many languages.

Wordings that speak *of what was done* ("that is wrong", "I meant the other one", "you broke it"), each with its
subject, so that a request which holds the same word ("find out what is wrong with it") is none. A single word at the
beginning ("No", "Stop", "Undo", "Wrong") decides nothing by itself: see `user_turns`.
"""

from __future__ import annotations

import re
from functools import cached_property


class _LateExpression:
    """An expression that is compiled when it is first needed: a host that only records needs none."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self._pattern, re.IGNORECASE)

    def search(self, text: str) -> re.Match[str] | None:
        return self._compiled.search(text)

    def match(self, text: str) -> re.Match[str] | None:
        return self._compiled.match(text)

    def sub(self, new: str, text: str) -> str:
        return self._compiled.sub(new, text)


#: By language, wordings that are objections wherever a sentence begins with them.
_OF_LANGUAGES = {
    "en": r"(?:that|this|it|these|those)(?:['’]s| is| was| are| were|)(?: (?:still|all|just|completely|totally|so"
    r"|clearly|simply))* (?:wrong|incorrect|broken"
    r"|not (?:right|correct|working(?! (?:hour|day|time))|it\b|what|the|that)"
    r"|a mistake|false)"
    r"|(?:that|this|it)(?:['’]s| is)n['’]?t (?:right|correct|working|what|the (?:one|right))"
    r"|not (?:what|the one|that one|this one|the right)|you \w+ed the wrong\b"
    r"|i (?:said|meant|asked for|wanted|was talking about)\b"
    r"|you(?:['’]ve| have|) (?:forgot|forgotten|missed|misunderstood|misread|misheard|broke|broken|ruined|messed"
    r"|mixed|confused|got (?:it|that|this) wrong|didn['’]?t|did not|should(?:n['’]t| not)? have|were supposed to"
    r"|(?:used|picked|chose|did|took|changed|deleted|cancelled|canceled|booked|sent|made|opened|renamed|moved) the"
    r" (?:wrong|other))\b"
    r"|(?:that|this|it|which)(?: has|['’]s| just|) (?:made|makes) (?:it|this|that|things|everything) worse"
    r"|(?:that|this|it)(?: still)? (?:doesn|didn|does not|did not)(?:['’]?t)?(?: really)? (?:work|help|do)"
    r"|still (?:wrong|broken|failing|not (?:working|right|fixed)|the same)|try again\b|redo\b|please fix\b"
    r"|(?:why|how come) (?:did|have|would) you\b|nothing works\b|put (?:it|that|this|them) back\b"
    r"|(?:change|turn|bring|move) (?:it|that|this|them) back\b",
    "de": r"(?:das|dies|es|so|dass)(?: (?:ist|war|wäre))?(?: (?:aber|doch|ja|so|immer noch|leider|komplett|ganz))*"
    r" (?:falsch|nicht (?:richtig|korrekt|das|was|gut)|verkehrt|kaputt|ein fehler)|(?:das|es)(?: so)? (?:stimmt|passt)"
    r"(?: so)? nicht|stimmt nicht|nicht (?:richtig|das|die|der|den)\b|ich (?:meinte|habe .{0,20}gemeint|wollte)\b"
    r"|du hast .{0,40}(?:vergessen|falsch|verwechselt|kaputt)|(?:das|es) (?:hat|macht) .{0,20}schlimmer"
    r"|(?:das|es) (?:funktioniert|geht|klappt) (?:so |immer noch |jetzt )?nicht",
    "fr": r"c['’]?(?:est|était|e) (?:toujours |encore )?(?:faux|incorrect|mauvais|cassé|pire|une erreur|pas)"
    r"|ce n['’](?:est|était) pas|(?:ça|cela) ne (?:marche|fonctionne|va|va) pas"
    r"|je (?:voulais|parlais|demandais|pensais)\b"
    r"|(?:tu|vous) (?:t['’]|vous )?(?:as|es|avez|êtes) (?:oublié|trompée?s?|cassé|mal|confondu)|pas (?:ça|celui"
    r"|celle)\b",
    "es": r"(?:eso|esto|así|lo que hiciste)(?: (?:está|es|sigue|fue))? (?:mal|incorrect|equivocad|err[oó]ne|rot)"
    r"|(?:eso |esto )?(?:no (?:es|era|está) (?:eso|esto|as[ií]|lo que|correcto|bien|el|la))|está mal"
    r"|me refer[ií]a|quise decir|quer[ií]a decir|te (?:equivocaste|has equivocado|olvidaste)"
    r"|has (?:roto|olvidado|borrado)|(?:esto|eso) lo empeor|(?:eso|esto) no funciona",
    "it": r"(?:è|era|questo è|quello è|così è) (?:sbagliat|errat|rott|peggio)|non è (?:quest|quell|giust|corrett|ciò"
    r"|così)|intendevo|volevo dire|hai (?:sbagliato|dimenticato|rotto|confuso)|non funziona",
    "pt": r"(?:isso|isto|assim)(?: (?:está|é|continua|ficou))? (?:errad|incorret|mal|pior|quebrad)"
    r"|(?:isso |isto )?não (?:é|era|foi|está) (?:isso|isto|o que|corret|cert|assim|o|a)\b|está errad"
    r"|eu (?:quis dizer|queria|falei)|você (?:esqueceu|errou|quebrou|confundiu)|(?:isso )?não funciona",
    "nl": r"(?:dat|dit|het|zo)(?: (?:is|was|klopt))? (?:nog steeds |helemaal )?(?:fout|verkeerd|onjuist|niet (?:goed"
    r"|juist|wat|de|het)|kapot|niet)\b|klopt niet|ik bedoelde|je (?:hebt|bent) .{0,40}(?:vergeten|fout|verkeerd|kapot)"
    r"|werkt niet",
    "sv": r"(?:det|detta)(?: (?:är|var|blev))? (?:fortfarande )?(?:fel|inte|sämre|trasigt)|jag menade|du (?:glömde"
    r"|tog fel)",
    "da": r"(?:det|dette)(?: (?:er|var|blev))? (?:stadig )?(?:forkert|ikke|værre|feil|galt)|jeg mente|du glemte",
    "fi": r"(?:se|tämä|tuo)(?: (?:on|oli|ei))?(?: ole)? (?:väärin|väärä|rikki|oikein)|tarkoitin|unohdit",
    "pl": r"(?:to|tak)(?: (?:jest|było))? (?:źle|błąd|błędn|niepoprawn|niewłaściw|zepsut|nie (?:to|tak|działa))"
    r"|nie (?:to|o to|tak|ten|ta)\b|chodziło mi|miał[ae]?m na myśli|zapomniał|zepsuł[aeo]?ś|pomyliłe?ś",
    "cs": r"(?:to|tohle|toto)(?: (?:je|bylo))? (?:špatn|chyba|chybn|nesprávn|horší)|mysle?l[a]? jsem|zapomněl",
    "ru": r"(?:это |так |всё |все )?(?:неправильн|неверн|не то\b|не так\b|не тот\b|ошибк|стало хуже|сломал|не работает)"
    r"|я (?:имел[а]? в виду|хотел[а]?|просил[а]?|говорил[а]?)|(?:ты|вы) (?:сломал|забыл"
    r"|ошиб|перепутал|удалил|.{1,30} не т(?:о|от|ого|у|ех)\b)",
    "uk": r"(?:це |так )?(?:неправильн|невірн|не те\b|не так\b|помилк|стало гірше|не працює)|я (?:мав|мала) на увазі"
    r"|(?:ти|ви) (?:забу|зламал|помили)",
    "tr": r"(?:bu|o|şu|böyle)?\s*(?:yanlış|hatalı|doğru değil|olmadı|bozuldu|çalışmıyor)|demek istedi|kastetti|unuttun",
    "ar": r"(?:هذا|ذلك|هذه)?\s*(?:خطأ|غير صحيح|ليس صحيح|خاطئ|لا يعمل)|(?:كنت )?(?:أقصد|قصدت|اقصد)|لقد نسيت|نسيت",
    "fa": r"(?:این|آن)?\s*(?:اشتباه|غلط|نادرست|درست نیست|کار نمی)|منظورم",
    "he": r"(?:זה|זו)?\s*(?:לא נכון|שגוי|טעות|לא עובד|לא מה)|התכוונתי|שכחת",
    "hi": r"(?:यह|ये|वह|ऐसा)?\s*(?:गलत|ग़लत|सही नहीं|ठीक नहीं|काम नहीं)|मेरा मतलब|तुमने गलत|आपने गलत",
    "el": r"(?:αυτό |αυτο )?(?:είναι |ειναι )?(?:λάθος|λαθος|δεν είναι|δεν δουλεύει|χειρότερα)|εννοούσα|ξέχασες",
    "ro": r"(?:asta |aceasta |acesta |e |este |a fost )*(?:greșit|gresit|incorect|stricat)|nu (?:e|este) (?:asta"
    r"|corect|bine)"
    r"|mă refeream|am vrut să spun|ai uitat",
    "hu": r"(?:ez |az )?(?:nem (?:jó|ez|az|helyes|működik)|rossz|hibás|helytelen)|(?:úgy |arra |azt )(?:értettem"
    r"|gondoltam)"
    r"|elfelejtetted",
    "vi": r"(?:cái này |điều đó |như vậy )?(?:là )?(?:sai\b|không đúng|không phải|nhầm|hỏng)|ý tôi là|bạn quên",
    "id": r"(?:itu |ini |yang itu )?(?:salah|keliru|tidak benar|bukan itu|bukan yang|rusak)|maksud(?:ku|nya| saya)"
    r"|kamu lupa",
    "zh": r"不对|不對|错了|錯了|不是(?:这|那|我|這)|弄错|弄錯|搞错|搞錯|这是错|這是錯|我(?:说|说的|指|要|想要)的?是"
    r"|更糟|坏了|壞了|没有用|不行",
    "ja": r"違い?ます|違う|ちがう|ちがいます|間違|じゃない|そうではな|じゃなくて|ではなく|壊れ|動かな|悪化",
    "ko": r"틀렸|틀린|틀려|잘못|아니(?:요|에요|야|라)|그게 아니|안 돼|안돼|망가|고장",
    "th": r"(?:ผิด|ไม่ถูก|ไม่ใช่|เสีย|ใช้ไม่ได้|แย่ลง)|ฉันหมายถึง|ผมหมายถึง|หมายถึง",
}

_LEAD = (
    r"(?:^|[.!?。！？,;:…\n—–-]\s*)(?:(?:hi|hello|hey|ok|okay|well|so|oh|hmm|um|sorry|but|and|also|wait|actually|no"
    r"|nope"
    r"|nein|non|não|nee|nej|nei|nie|ne|нет|ні|hayır|لا|לא|नहीं|όχι|nu|nem|aber|mais|pero|ma|mas|maar|но)\b[\s,.!:-]*){0,6}"
)
_UNSPACED = ("zh", "ja", "th")
OBJECTION = _LateExpression(
    _LEAD
    + "(?:"
    + "|".join(f"(?:{one})" for language, one in _OF_LANGUAGES.items() if language not in _UNSPACED)
    + ")|"
    + "|".join(f"(?:{_OF_LANGUAGES[language]})" for language in _UNSPACED)
)

#: "No" and its like as an answer or an interjection: alone, with a mark behind it, or before a word that goes on with
#: the same thing. "No one", "No response yet" are none.
NO = _LateExpression(
    r"^\s*(?:(?:hi|hello|hey|ok|okay|well|so|oh|hmm|um|sorry|but|and|also|wait|actually)\b[\s,.!-]*){0,6}"
    r"(?:(?:no|nope|nein|non|não|nee|nej|nei|nie|ne|ei|нет|ні|hayır|لا|לא|नहीं|όχι|nu|nem|いいえ|いや|아니|아뇨|不"
    r"|不是)"
    r"(?:\s*[,.!;:،、。！，—–]|\s+-|\s*$)"
    r"|no (?:that|this|it|i|you|we|he|she|they|not|don['’]?t|do|please|use|the|my|wait|sorry|wrong|instead|always|never"
    r"|just|only|again|stop)\b)",
)

#: What can undo something just done, or ask for something of its own: what it speaks of decides.
OPENER = _LateExpression(
    r"^\s*(?:(?:hi|hello|hey|ok|okay|well|so|oh|hmm|um|sorry|but|and|also|wait|actually|please|pls)\b[\s,.!-]*){0,6}"
    r"(?:stop|undo|revert|roll ?back|restore|cancel that|take (?:it|that) back|wrong|incorrect|again|not"
    r"|stopp|rückgängig|zurück|falsch\w*|halt|annule[rz]?|arrête[rz]?|deshaz|deshacer|para|detén|incorrecto|annulla"
    r"|ferma"
    r"|desfa[çz]\w*|cancela|verkeerd|fout|ångra|fortryd|cofnij|zrušit|отмени\w*|верни\w*|стоп|скасуй|geri al|撤销"
    r"|取消|恢复"
    r"|取り消|元に戻|취소|되돌)(?!\w)",
)

#: What complains of a state, whoever caused it: where it speaks of the same things, the success is in doubt.
COMPLAINT = _LateExpression(
    r"\b(?:worse|broke|broken|crash(?:ed|es)?|down (?:now|again)|gone (?:now)?|lost|missing|disappeared|fails?|failed"
    r"|failing|error|not working|doesn['’]?t work|didn['’]?t work|still|again|instead|rather|wrong|kaputt|schlimmer|weg"
    r"|fehlt|immer noch|stattdessen|cassé|pire|toujours|roto|peor|sigue|falta|rotto|peggio|ancora|quebrad[oa]|pior"
    r"|ainda"
    r"|kapot|erger|nog steeds|trasig|sämre|zepsut\w*|gorzej|сломан\w*|хуже|пропал\w*|всё ещё|bozuk|hâlâ|hala)\b"
    r"|还是|仍然|坏|丢|壊|まだ|消え|여전히|아직|사라",
)

__all__ = ["COMPLAINT", "NO", "OBJECTION", "OPENER"]
