"""How mail servers word it: the phrases that bounces and automatic answers are known by, in the languages we meet.

Every pattern has bounded repeats and is used on texts of bounded length, because the texts come from strangers.
"""

import re


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_WHO = (
    r"(?:user|recipient|addressee|mailbox|mail box|address|account|alias|person|userid|login"
    r"|destinataire|adresse|utilisateur)"
)

FULL = _any(
    r"(?:mail ?box|inbox|mail ?folder|account|mail ?drop)\s(?:is\s|was\s|has\s)?(?:currently\s)?(?:almost\s)?full\b",
    r"full (?:mail ?box|inbox)",
    r"over (?:the |their |its |disk |allowed |storage )*quota",
    r"overquota|over-quota",
    r"quota (?:has been |is |was |usage |limit )?(?:exceed|violat|full|reached)",
    r"(?:exceed|reach)\w* .{0,40}quota",
    r"exceed\w* (?:the |its |their |his |allowed |maximum )*(?:storage|disk|mailbox)\b",
    r"(?:mail ?box|mail file)\b.{0,40} exceed\w*",
    r"mailbox (?:size )?limit exceeded",
    r"exceeding (?:its|their) mailbox",
    r"exceeding receiving limits",
    r"(?:not|n't|does not have) enough .{0,20}space",
    r"space (?:is )?not enough|insufficient .{0,20}(?:space|storage)|not sufficient .{0,20}space",
    r"out of .{0,20}(?:space|storage)",
    r"space has been used up|no (?:more )?(?:disk )?space left|disk full",
    r"too many messages (?:on|in) |too much mail data",
    r"bo[iî]te .{0,40}(?:pleine|satur)|quota .{0,20}d[ée]pass",
    r"postfach .{0,40}voll\b|mailbox .{0,30}voll\b|buz[oó]n .{0,30}llen[oa]|casella .{0,40}piena",
    r"caixa .{0,40}(?:cheia|lotada)|postvak .{0,30}vol\b|переполнен",
    r"メールボックス.{0,10}(?:一杯|いっぱい|満杯)|容量.{0,10}超|邮箱.{0,6}满|信箱.{0,6}滿",
)
"""A mailbox without room: time, or its owner, heals it."""

OUR_QUOTA = _any(r"sending (?:quota|limit)", r"(?:daily|hourly) .{0,30}(?:quota|limit)", r"message quota")
"""The same words, said of how much we may send."""

DEAD = _any(
    _WHO + r"\)?:?\s(?:name\s)?(?:is\s|was\s)?(?:unknown|not found|not known|invalid\b|unrecogni[sz]ed|non-?existent)",
    _WHO + r"\b[^;]{0,120}? (?:was |is )?(?:not found|unknown|not known)\b",
    _WHO + r"\b[^;]{0,120}? (?:does ?n[o'’]t|do not|not|no longer) exists?\b",
    _WHO + r"\b[^;]{0,60}? (?:could ?n[o'’]t|cannot|can't|can not) be found",
    _WHO + r" name is not recogni[sz]ed",
    r"(?:unknown|no such|not a valid|not a known|invalid|nonexist[ea]nt|non-existent|not an? existing) (?:or \w+ )?"
    r"(?:virtual )?(?:local )?(?:e-?mail )?(?:user|recipient|mailbox|account|local.part|alias|address|person|id)\b",
    r"(?:bad|illegal|invalid|incorrect) (?:destination |final delivery )?(?:mailbox|recipient|userid|rcpt|user)\b",
    r"bad.recipient|badrcptto|recip(?:ient)?notfound",
    r"mailbox (?:is )?(?:unavailable|not available|not present|invalid)(?! or access)(?! \(not enough)",
    r"mailbox [^ ]{3,100} unavailable",
    r"(?:recipient|user|mailbox|rcpt|address) (?:is )?(?:not exist|not ok|not local|not listed|not present)",
    r"not (?:a local address|listed in|an active (?:address|account)|our customer)|not in .{0,30}directory",
    r"no (?:mail ?box|account|user|such) (?:here|by that|with that|found|available)",
    r"no (?:valid recipient|matches to nameserver)|nobody (?:here )?by that name|no one at this address",
    r"can't accept user|couldn't find (?:any (?:host|domain)|your)",
    r"does(?:n't| not) have an? \S{1,100} account|does not have an account",
    r"no longer (?:on server|valid|accepts|available|in use|employed|with |works|active)|has been replaced by",
    r"(?:account|mailbox|address) (?:has been |is |was )(?:closed|cancell?ed|deleted|removed|terminated)",
    r"address rejected\.|undeliverable address|unrouteable|unroutable|address ?list not found",
    r"address could(?:n't| not) be found|address(?:es)? w(?:as|ere) unknown|wrong (?:e-?mail )?address",
    r"(?:host|domain|remote host|mail server|server)\b.{0,80}? (?:is )?(?:unknown|not found|does ?n[o'’]?t exist)",
    r"unknown (?:host|domain)|no such (?:domain|host)|nxdomain|nonexistentdomain|name or service not known",
    r"(?:host|domain) (?:name )?(?:unknown|must exist|not known)|all host address lookups failed permanently",
    r"point to non-existent hosts|indicated no smtp service|null ?mx|answer with no data",
    r"domain .{0,80}does not (?:accept|receive) (?:e-?)?mail|domain .{0,60} couldn't be found",
    r"n['’]existe pas|n['’]existe plus|inexistante?\b|(?:destinataire|utilisateur|adresse|compte|bo[iî]te).{0,60}"
    r"(?:inconnue?|invalide|introuvable)",
    r"existiert nicht|nicht gefunden|unbekannt(?:er?)? (?:empf|benutzer|nutzer)|(?:empf[äa]nger"
    r"|benutzer).{0,40}unbekannt",
    r"no existe|usuario desconocido|destinatario desconocido|inesistente|utente sconosciuto|non esiste|n[ãa]o existe",
    r"не существует|не найден|нет такого|неизвестный|不存在|존재하지|存在しません|見つかりません"
    r"|リストにありません|宛先.{0,6}不明",
)
"""The mailbox or its domain does not exist."""

NOT_YET_KNOWN = _any(r"not found[,.;]? {0,2}try again", r"temporary.{0,60}(?:lookup|dns|name)")
"""The same words, of a name that could not be looked up for now."""

ABOUT_SENDER = _any(
    r"sender'?s? (?:address|domain|verif|id\b|host|name|\S{0,100} ?rejected)|domain of (?:the )?sender|invalid sender",
    r"from:? domain|mail from\b(?! command)|verification failed for|reverse.?path|envelope.?from|helo|ehlo",
    r"\bfrom: .{0,30}domain|return address|your (?:domain|host|ip|server)|emetteur|exp[ée]diteur",
)
"""The same words, said of whoever sends."""

ABOUT_US = _any(
    r"spam|block(?:ed|list)|black ?list|reputation|policy|dmarc|\bspf\b|dkim|\bptr\b|reverse dns|volume|\brate\b",
    r"too (?:many|fast)|complaint|virus|content|relay|authenticat|rejected for|not allowed|not permitted|denied",
    r"greylist|grey-list|graylist|listed (?:at|in|on)|\brbl\b|dnsbl|unsolicited|bulk|tls|starttls|throttl|frequency",
    r"unusual|suspicious|refus[ée]",
)
"""The server has something against us, our mail or how we send it."""

LATER = _any(
    r"time(?:d)?.?out|try (?:again )?later|try again (?:in|at)|found[,.;]? try again|retry|retries"
    r"|queue too long|too long in|not reachable|unreachable|not responding",
    r"temporar|deferred|greylist|connection (?:refused|reset|lost|dropped|failed)|lost connection"
    r"|no (?:response|answer)",
    r"(?:could not|couldn't|unable to|wasn't able to|cannot|failed to) (?:be )?(?:connect|contact|establish|reach)",
    r"maximum (?:delivery )?attempts|failed \d{1,3} attempts|did not respond|expired"
    r"|not (?:been )?collected|delivery time|failing for a long time|long failure period",
    r"not delivered within|attempts? to deliver .{0,40}(?:failed|days)|for (?:more than )?\d{1,3} (?:days|hours)",
    r"being unable to connect|did not accept our requests|dns lookup failed|server (?:is )?busy|will persist for",
    r"délai .{0,20}(?:dépassé|expiré)|zeitüberschreitung",
)
"""Only another time would tell."""

CLOSED = _any(
    r"disabled|suspend|inactive|deactivat|frozen|locked|dormant|discontinued|expired account|on hold|archiv",
    r"gesperrt|désactiv|suspendu|bloqu[ée]|unpaid|temporarily limited",
)
"""A mailbox that takes nothing for now, and perhaps never again."""

SAYS_BOUNCE = _any(
    r"(?:could not|couldn't|cannot|can't|can not|was not|were not|has not|not yet|wasn't|has not yet|not)"
    r" (?:yet )?(?:been |be )?(?:delivered|sent to|deliverable)",
    r"unable to (?:be )?(?:deliver|send)|(?:not|n't) able to deliver|failed to (?:deliver|send)|cannot be delivered",
    r"delivery (?:\w+ ){0,6}(?:has |have |had )?(?:been )?(?:failed|failure|delayed|problem|error)",
    r"(?:had|have|has) (?:delivery|fatal|permanent)[ \w]{0,20}(?:problem|error)s?"
    r"|permanent(?:ly)? (?:fatal )?(?:error|fail)",
    r"failed permanently|undeliver(?:able|ed)|non-?deliver(?:y|able|ed)|mail delivery (?:failed|failure|error)",
    r"error (?:was )?(?:delivering|sending|while sending|occurred while trying to deliver)",
    r"following (?:e-?mail )?address(?:\(es\)|es)? (?:failed|had|were)"
    r"|following recipients? .{0,60}(?:fail|did not|not rec)",
    r"did not reach the following|transcript of (?:session|the attempts)|return(?:ed|ing) (?:message )?to sender",
    r"message (?:delivery )?(?:has )?(?:failed|bounced)|trouble delivering|did not like our (?:rcpt|mail"
    r"|data|helo|ehlo)",
    r"remote host said|error (?:that|message) .{0,30}(?:server returned|below)|does not like recipient",
    r"rejected by (?:a |the )?(?:remote )?(?:mail )?(?:server|recipient)|rejected (?:your message to )?the following",
    r"rejected by the local scan|incorrectly constructed|yet to be delivered|frozen on arrival"
    r"|error (?:has |was )?occurred while",
    r"automatically rejected|you are not (?:a )?member of|not member article|has detected a loop",
    r"errors? (?:following|after) (?:rcpt|data|mail)|has been frozen|failure reasons|-server message",
    r"n['’]a pas (?:pu|été) (?:être )?(?:remis|livré|délivré|distribué|envoyé)|échec de (?:la )?(?:remise"
    r"|distribution)",
    r"non (?:remis|distribu|délivr)|remise impossible|message non délivré",
    r"nicht zugestellt|unzustellbar|zustell(?:ung|fehler)|konnte nicht (?:an|ausgeliefert)",
    r"no (?:se )?(?:pudo|puede|pudo ser|ha podido) (?:ser )?entreg|no (?:fue|ha sido) entregado|no entregado",
    r"non (?:è stato possibile|recapitabil|consegnat)|mancata consegna|mancato recapito",
    r"n[ãa]o (?:p[ôo]de|foi poss[íi]vel|entregue|pode) .{0,20}entreg|onbestelbaar|niet .{0,20}(?:bezorgd|afgeleverd)",
    r"niedostarcz|kunde inte (?:levereras|leverera)|kunne ikke leveres|nie mo[żz]e by[ćc] dostarcz",
    r"не (?:может быть|удалось|была?|доставлен|было) .{0,20}(?:доставлен|отправлен|доставить)|недоставлен|не доставлен",
    r"(?:送信|配信|配送|お届け).{0,6}(?:できません|できなかった|出来ません|失敗|不能)|送信できませんでした"
    r"|無法(?:傳送|投遞)|退信|无法(?:发送|送达|投递)",
    r"보낼 수 없|전달되지|전송 실패",
)
"""That a mail was not delivered, or not yet."""

SUBJECT_SAYS = _any(
    r"undeliver|returned mail|errors?(?:\(s\))? in forwarding|failure notice|delivery (?:status|fail|error"
    r"|problem|notification|report|has)",
    r"deliver(?:y|ing)? fail|mail (?:delivery|failure|system error|not delivered)"
    r"|failed (?:mail )?delivery|failure delivery",
    r"non.?deliver|message delivery|mail could not be delivered|error sending your (?:mail|message)|\[bounce\]",
    r"could not be delivered|warning: (?:message|could not|delayed)|message (?:delayed|frozen|status - undeliverable)",
    r"delayed mail|delivery delayed|permanent delivery|mail delivery subsystem|sorry, your message|returned to sender",
    r"non remis|non distribué|échec de remise|unzustellbar|onbestelbaar|non recapitabile|no entregado|não entregue",
    r"niedostarcz|недоставлен|не доставлен|送信できません|配信できません|配信に失敗|配信不能|配送不能|退信",
)
"""A subject that a person hardly writes."""

GOES_ON = _any(
    r"will (?:keep|continue|be) (?:on )?(?:trying|to try|retr|to be retried|to attempt|re-?tried|re-?sent)",
    r"still (?:trying|being retried|be attempted)|do(?:es)? ?n[o'’]t need to re-?send"
    r"|no action is required on your part",
    r"this is (?:only )?a warning|warning message only|delivery .{0,30}(?:has been |was |is )?delayed",
    r"temporarily (?:delayed|deferred)|delivery attempts will continue"
    r"|not yet (?:been )?delivered",
    r"message is delayed|delayed for more than|delays in delivering|further attempts|keep(?:s)? trying"
    r"|being retried|continue (?:trying|to try)",
    r"nouvelles? tentatives?|sera (?:ré)?essay|weitere versuche|wird weiterhin versucht|retardad",
)
"""The server has not given up."""

SAYS_PERMANENT = _any(
    r"permanent (?:fatal )?error|failed permanently|giving up|given up|no further (?:delivery )?attempts"
    r"|permanent failure",
    r"permanent fatal errors|could not be delivered for|not going to try again",
)

ORIGINAL = re.compile(
    r"^[ \t>]{0,20}(?:"
    r"[-+*=_]{2,80}.{0,60}(?:original (?:message|mail)|copy of (?:the|your) message|below this line"
    r"|returned (?:message|mail)"
    r"|header of the original|unsent message|message d['’]origine|message (?:header|text)s? follow|bounced"
    r"|ursprüngliche).*"
    r"|(?:the )?original (?:message|mail)(?: headers?)?(?: follows| as follows)?[.: ]*$"
    r"|message headers? follows?.*|included is a copy of the message.*|bounced e-mail:.*"
    r"|the attachment contains the original.*|en-t[êe]tes d[eu] message d['’]origine.*"
    r"|urspr[üu]ngliche nachrichtenkopf.*|encabezados de mensajes? originale?s?.*"
    r"|below is a copy of the original message.*|content-type: ?(?:message/rfc822|text/rfc822-headers).*"
    r"|original mail as follows.*|.{0,120}original mail as follows:\s*$"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
"""Where the returned original begins, in a text that carries it."""

ORIGINAL_HEADERS = re.compile(r"^(?:Received: (?:from|by|\()|Return-Path: ?<)", re.IGNORECASE | re.MULTILINE)
"""A header of the original, where nothing announces it."""
