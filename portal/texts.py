"""Every word of the pages, French first: one entry a key, (French, English). ``{name}`` is filled in by Words."""

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

LANGUAGES = ("fr", "en")

TEXTS: Mapping[str, tuple[str, str]] = {
    # frame
    "skip": ("Aller au contenu", "Skip to content"),
    "tagline": ("ce que la commune dit, et à qui c’est parvenu", "what the municipality says, and whom it reached"),
    "nav": ("Navigation principale", "Main navigation"),
    "nav.overview": ("Vue d’ensemble", "Overview"),
    "nav.deliveries": ("Envois", "Deliveries"),
    "nav.deadletters": ("Rebuts", "Dead letters"),
    "nav.sandbox": ("Bac à sable", "Sandbox"),
    "nav.logout": ("Se déconnecter", "Sign out"),
    "language.other": ("English", "Français"),
    "language.fr": ("français", "French"),
    "language.en": ("anglais", "English"),
    "search.label": (
        "Retrouver un événement, une annonce ou un envoi",
        "Find an event, an announcement or a delivery",
    ),
    "search.go": ("Rechercher", "Search"),
    "search.title": ("Recherche", "Search"),
    "search.none": (
        "Rien ne porte ce nom : {q}. Essayez un numéro d’événement, un dossier ou l’identifiant d’un envoi.",
        "Nothing bears that name: {q}. Try an event number, a matter or the id of a delivery.",
    ),
    "search.several": ("Plusieurs réponses pour « {q} »", "Several answers for “{q}”"),
    "live.pause": ("Suspendre la mise à jour", "Pause updates"),
    "live.resume": ("Reprendre la mise à jour", "Resume updates"),
    "live.on": ("Mise à jour toutes les 2 secondes", "Updated every 2 seconds"),
    "live.off": ("Mise à jour suspendue", "Updates paused"),
    "live.refresh": ("Actualiser", "Refresh"),
    "live.lost": (
        "Le serveur ne répond pas : les chiffres affichés peuvent être anciens.",
        "The server does not answer: the figures shown may be old.",
    ),
    "export": ("Exporter", "Export"),
    "filter": ("Filtrer", "Filter"),
    "filter.reset": ("Tout afficher", "Show all"),
    "filter.any": ("Tous", "All"),
    "filter.search": ("Contient", "Contains"),
    "filter.legend": ("Filtrer la liste", "Filter the list"),
    "page.next": ("Page suivante", "Next page"),
    "page.first": ("Retour au début", "Back to the start"),
    "none": ("néant", "none"),
    "yes": ("oui", "yes"),
    "no": ("non", "no"),
    # overview
    "overview.title": ("Vue d’ensemble", "Overview"),
    "overview.figures": (
        "Envois réglés : {ended} sur {all} ; en cours : {open}.",
        "Deliveries settled: {ended} of {all}; under way: {open}.",
    ),
    "overview.period": ("Période", "Period"),
    "period.24h": ("24 heures", "24 hours"),
    "period.7d": ("7 jours", "7 days"),
    "period.all": ("Depuis toujours", "All time"),
    "overview.channels": ("Par canal", "By channel"),
    "overview.nothing": ("Aucun envoi sur cette période.", "No delivery in this period."),
    "overview.settled": ("Réglés : {ended} sur {all}", "Settled: {ended} of {all}"),
    "overview.speed": (
        "De l’événement à l’envoi : {p50} pour la moitié, {p95} pour 95 %.",
        "From event to sent: {p50} for half of them, {p95} for 95%.",
    ),
    "overview.attention": ("À surveiller", "To watch"),
    "overview.letters_open": ("Rebuts à traiter", "Dead letters open"),
    "overview.letters_back": ("Rebuts remis en circuit", "Dead letters put back"),
    "overview.unaccounted": ("Envois sans explication", "Unaccounted deliveries"),
    "overview.unaccounted.hint": (
        "Ni terminés, ni en attente de quoi que ce soit : il ne doit pas y en avoir.",
        "Neither ended nor waiting for anything: there should be none.",
    ),
    "overview.sandbox": (
        "Ce que les fournisseurs simulés ont reçu",
        "What the sandbox providers received",
    ),
    # events
    "events.title": ("Événements reçus", "Events received"),
    "events.caption": ("Événements, du plus récent au plus ancien", "Events, newest first"),
    "events.empty": ("Aucun événement ne correspond.", "No event matches."),
    "events.outcomes": ("Événements par suite donnée", "Events by outcome"),
    "event": ("Événement", "Event"),
    "event.number": ("Événement n° {id}", "Event no. {id}"),
    "event.received": ("Reçu le", "Received"),
    "event.occurred": ("Daté du", "Dated"),
    "event.what": ("Objet", "About"),
    "event.authority": ("Collectivité", "Authority"),
    "event.outcome": ("Suite donnée", "Outcome"),
    "event.source": ("Source", "Source"),
    "event.id": ("Identifiant chez la source", "Id at the source"),
    "event.matter": ("Dossier", "Matter"),
    "event.revision": ("Révision", "Revision"),
    "event.action": ("Action", "Action"),
    "event.seen": ("Arrivées", "Arrivals"),
    "event.seen.times": (
        "{n} fois ; une seule a compté",
        "{n} times; only one counted",
    ),
    "event.seen.short": ("reçu {n} fois", "came {n} times"),
    "event.payload": ("Contenu reçu", "Payload as received"),
    "event.none": ("Aucune annonce n’en est née.", "It made no announcement."),
    "outcome.announced": ("annoncé", "announced"),
    "outcome.stale": ("périmé", "stale"),
    "outcome.no_rule": ("sans règle", "no rule"),
    "outcome.superseded": ("dépassé", "superseded"),
    "outcome.nothing_to_end": ("rien à clore", "nothing to end"),
    "outcome.announced.hint": ("une annonce a été faite ou mise à jour", "an announcement was made or updated"),
    "outcome.stale.hint": ("trop ancien ou expiré : noté, jamais envoyé", "too old or expired: recorded, never sent"),
    "outcome.no_rule.hint": ("aucune règle ne le concerne : noté", "no rule is about it: recorded"),
    "outcome.superseded.hint": ("une révision plus récente était connue", "a later revision was known already"),
    "outcome.nothing_to_end.hint": ("aucune annonce en cours pour ce dossier", "no announcement of this matter"),
    "action.announce": ("annonce", "announce"),
    "action.update": ("mise à jour", "update"),
    "action.cancel": ("annulation", "cancel"),
    "action.end": ("fin", "end"),
    "type.fr.tambour.road-works": ("Travaux de voirie", "Road works"),
    "type.fr.tambour.waste-collection": ("Collecte des déchets", "Waste collection"),
    "type.fr.tambour.water-quality": ("Qualité de l’eau", "Water quality"),
    "type.fr.tambour.school-disruption": ("Vie scolaire", "School disruption"),
    "type.fr.tambour.council-meeting": ("Conseil municipal", "Council meeting"),
    "type.fr.tambour.flood-vigilance": ("Vigilance crues", "Flood vigilance"),
    "type.fr.tambour.notice": ("Avis de la commune", "Notice"),
    # announcements
    "announcement": ("Annonce", "Announcement"),
    "announcement.number": ("Annonce n° {id}", "Announcement no. {id}"),
    "announcement.withdrawn": ("retirée le {at}", "withdrawn {at}"),
    "announcement.held": ("suspendue : {reason}", "held: {reason}"),
    "announcement.created": ("Créée le", "Made"),
    "announcement.current": ("Version en vigueur", "Current version"),
    "version": ("Version {n}", "Version {n}"),
    "version.created": ("du {at}", "of {at}"),
    "version.orders.none": ("Aucun canal n’a reçu d’ordre.", "No channel was ordered."),
    "content.severity": ("Gravité", "Severity"),
    "content.lane": ("Voie", "Lane"),
    "content.themes": ("Thèmes", "Themes"),
    "content.areas": ("Secteurs", "Areas"),
    "content.areas.all": ("toute la collectivité", "the whole authority"),
    "content.onset": ("Début", "Onset"),
    "content.expires": ("Expire le", "Expires"),
    "content.contact": ("Contact", "Contact"),
    "content.languages": ("Langues", "Languages"),
    "content.data": ("Données de la version", "Data of the version"),
    "severity.Unknown": ("inconnue", "unknown"),
    "severity.Minor": ("mineure", "minor"),
    "severity.Moderate": ("modérée", "moderate"),
    "severity.Severe": ("forte", "severe"),
    "severity.Extreme": ("extrême", "extreme"),
    "lane": ("Voie", "Lane"),
    "lane.urgent": ("urgente", "urgent"),
    "lane.routine": ("courante", "routine"),
    "lane.bulk": ("de masse", "bulk"),
    # orders
    "orders.caption": ("Ordres de la version {n}, un par canal", "Orders of version {n}, one a channel"),
    "order.channel": ("Canal", "Channel"),
    "order.recipients": ("Destinataires", "Recipients"),
    "order.states": ("Envois par état", "Deliveries by state"),
    "order.waits": ("Ce qui attend, et jusqu’à quand", "What waits, and until when"),
    "order.fanning": ("lecture de l’audience en cours", "audience being read"),
    "order.purged": (
        "leur détail a été effacé le {at}, au terme de la durée de conservation : il n’en reste que le compte",
        "their details were removed {at}, as they are kept no longer: only their number is left",
    ),
    "order.audience.matches": ("les abonnés concernés", "whoever subscribes to it"),
    "order.audience.holders": ("ceux qui ont une version antérieure", "those who hold an earlier version"),
    "order.audience.both": (
        "les abonnés et ceux qui ont une version antérieure",
        "subscribers, and those who hold an earlier version",
    ),
    "order.broadcast": ("compte de la collectivité", "the authority’s account"),
    "channel.email": ("Courriel", "E-mail"),
    "channel.sms": ("SMS", "SMS"),
    "channel.mastodon": ("Mastodon", "Mastodon"),
    "channel.x": ("X", "X"),
    "channel.bluesky": ("Bluesky", "Bluesky"),
    "channel.facebook": ("Facebook", "Facebook"),
    "channel.telegram": ("Telegram", "Telegram"),
    "channel.apprise": ("Autres services (Apprise)", "Other services (Apprise)"),
    "channel.webhook": ("Logiciels reliés (webhook)", "Linked systems (webhook)"),
    "order.broadcast.none": ("aucun compte n’y est réglé", "no account is set up there"),
    "waits.retry": ("nouvel essai", "another try"),
    "waits.resolve": ("issue incertaine, réponse attendue", "outcome unclear, answer awaited"),
    "waits.officer": ("un agent doit décider", "an officer must decide"),
    "waits.waiting": ("son tour", "its turn"),
    "waits.held": ("fin d’une suspension", "the end of a hold"),
    "waits.dispatched": ("confié à un ouvrier", "handed to a worker"),
    "waits.claimed": ("en cours d’envoi", "being sent"),
    "wait.until": ("jusqu’au {at}", "until {at}"),
    "wait.between": ("entre le {first} et le {last}", "between {first} and {last}"),
    "wait.nothing": ("rien", "nothing"),
    # deliveries
    "deliveries.title": ("Envois", "Deliveries"),
    "deliveries.of": ("Envois de l’annonce n° {id}", "Deliveries of announcement no. {id}"),
    "deliveries.caption": (
        "Un envoi par ordre et par destinataire, du plus récent au plus ancien",
        "One delivery an order and recipient, newest first",
    ),
    "deliveries.empty": ("Aucun envoi ne correspond.", "No delivery matches."),
    "deliveries.all": ("Tous les envois de cette annonce", "All deliveries of this announcement"),
    "delivery": ("Envoi", "Delivery"),
    "delivery.address": ("Adresse", "Address"),
    "delivery.erased": ("effacée", "erased"),
    "delivery.state": ("État", "State"),
    "delivery.sent_at": ("Remis le", "Sent"),
    "delivery.seconds": ("Délai", "Delay"),
    "delivery.reason": ("Explication", "Reason"),
    "delivery.attempt": ("Tentative", "Attempt"),
    "delivery.tries": ("Essais", "Tries"),
    "delivery.language": ("Langue", "Language"),
    "delivery.updated": ("Dernier changement", "Last change"),
    "delivery.waits": ("Attend", "Waits for"),
    "delivery.facts": ("Ce qui s’est passé", "What happened"),
    "delivery.facts.none": (
        "Rien d’autre que l’ordinaire n’a été noté.",
        "Nothing beyond the ordinary was recorded.",
    ),
    "delivery.posts": ("Publications", "Posts"),
    "delivery.post.n": ("{n} sur {all}", "{n} of {all}"),
    "delivery.post.see": ("voir la publication {n}", "see post {n}"),
    "delivery.posts.later": (
        "La version {n} de l’annonce a pu les modifier, les compléter ou les retirer depuis :",
        "Version {n} of the announcement may have edited, followed or taken them back since:",
    ),
    "delivery.posts.later.see": ("voir ce qu’elle a publié", "see what it posted"),
    "post.publish": ("publiée", "published"),
    "post.edit": ("modifiée sur place", "edited in place"),
    "post.delete": ("retirée", "taken back"),
    "post.waits": ("à venir", "still to come"),
    "post.begun": ("tentée, pas encore confirmée", "tried, not confirmed yet"),
    "did.posted": ("publié", "posted"),
    "did.answered": ("publié en réponse à la version d’avant", "posted as an answer to the earlier version"),
    "did.edited": ("modifié sur place", "edited in place"),
    "did.deleted": ("retiré du réseau", "taken back from the network"),
    "delivery.receipts": ("Accusés du fournisseur", "Provider’s receipts"),
    "delivery.receipts.none": ("Aucun accusé reçu.", "No receipt came."),
    "delivery.see": ("voir la publication", "see the post"),
    "delivery.seen_at": ("où la voir : {url}", "where to see it: {url}"),
    "delivery.accepted": ("accepté par le fournisseur", "accepted by the provider"),
    "delivery.attempt.n": ("tentative {n}", "attempt {n}"),
    "receipt.receipt": ("accusé", "receipt"),
    "receipt.inbound": ("message reçu", "inbound message"),
    "receipt.bounce": ("retour de courrier", "bounce"),
    "receipt.pending": ("à examiner", "not looked at yet"),
    "receipt.bound": ("rattaché", "bound"),
    "receipt.unbound": ("sans envoi connu", "for nothing known"),
    "receipt.opted_out": ("désabonnement", "opt-out"),
    "receipt.opted_in": ("réabonnement", "opt-in"),
    "receipt.ignored": ("sans suite", "ignored"),
    "state.queued": ("en file", "queued"),
    "state.sending": ("en cours", "sending"),
    "state.retrying": ("à réessayer", "retrying"),
    "state.expired": ("expiré", "expired"),
    "state.withdrawn": ("retiré", "withdrawn"),
    "state.suppressed": ("écarté", "suppressed"),
    "state.unknown": ("incertain", "unknown"),
    "state.sent": ("remis", "sent"),
    "state.failed": ("échoué", "failed"),
    "state.delivered": ("distribué", "delivered"),
    "state.unaccounted": ("sans explication", "unaccounted"),
    # dead letters
    "letters.title": ("Rebuts", "Dead letters"),
    "letters.intro": (
        "Les messages que Tambour n’a pas pu comprendre, gardés entiers, avec la raison et la façon de les remettre "
        "en circuit.",
        "Messages that Tambour could not understand, kept whole, with the reason and the way back.",
    ),
    "letters.caption": ("Rebuts, du plus récent au plus ancien", "Dead letters, newest first"),
    "letters.empty": ("Aucun rebut.", "No dead letter."),
    "letter.number": ("Rebut n° {id}", "Dead letter no. {id}"),
    "letter.number.head": ("Numéro", "Number"),
    "letter.at": ("Mis de côté le", "Set aside"),
    "letter.reason": ("Raison", "Reason"),
    "letter.detail": ("Détail", "Detail"),
    "letter.place": ("D’où il vient", "Where it came from"),
    "letter.state": ("État", "State"),
    "letter.open": ("à traiter", "open"),
    "letter.put_back": ("remis en circuit", "put back"),
    "letter.put_back.at": ("remis en circuit le {at}", "put back {at}"),
    "letter.payload": ("Contenu du message", "Payload"),
    "letter.payload.empty": ("(vide)", "(empty)"),
    "letter.headers": ("En-têtes", "Headers"),
    "letter.key": ("Clé", "Key"),
    "letter.back": ("Le remettre en circuit", "Put it back"),
    "letter.back.how": (
        "Depuis la ligne de commande, tel quel, ou corrigé (voir son aide) :",
        "From the command line, as it is, or mended (see its help):",
    ),
    # leaving
    "leave.title": ("Se désabonner", "Unsubscribe"),
    "leave.ask": (
        "Ne plus recevoir les messages de {authority} à {address} ?",
        "Stop messages from {authority} to {address}?",
    ),
    "leave.urgent": (
        "Cela vaut pour tous les messages envoyés à cette adresse, alertes comprises.",
        "This is about every message to this address, alerts included.",
    ),
    "leave.ask.information": (
        "Ne plus recevoir les informations de {authority} à {address} ?",
        "Stop information from {authority} to {address}?",
    ),
    "leave.information": (
        "Les alertes urgentes viennent d’un autre expéditeur et continueront.",
        "Urgent alerts come from another sender and go on.",
    ),
    "leave.information.only": (
        "Les alertes urgentes sont déjà arrêtées : vous ne recevrez plus rien.",
        "Urgent alerts are stopped already: you will get nothing more.",
    ),
    "leave.information.done": (
        "{authority} n’enverra plus d’informations à {address}, seulement les alertes urgentes.",
        "{authority} will send no more information to {address}, urgent alerts only.",
    ),
    "leave.information.back": (
        "{authority} enverra de nouveau ses informations à {address}.",
        "{authority} will send information to {address} again.",
    ),
    "leave.alerts.stop": (
        "Pour les arrêter aussi, répondez STOP à {sender}.",
        "To stop them too, answer STOP to {sender}.",
    ),
    "leave.alerts.call": (
        "Pour les arrêter aussi, appelez {authority} au {phone}.",
        "To stop them too, call {authority} on {phone}.",
    ),
    "leave.alerts.write": (
        "Pour les arrêter aussi, demandez-le à {authority}.",
        "To stop them too, ask {authority}.",
    ),
    "leave.alerts.off": (
        "Les alertes urgentes, elles, restent arrêtées. Pour les recevoir aussi, demandez-le à {authority}.",
        "Urgent alerts stay stopped. To get them too, ask {authority}.",
    ),
    "leave.button": ("Me désabonner", "Unsubscribe"),
    "leave.done.title": ("Vous êtes désabonné", "You are unsubscribed"),
    "leave.done": (
        "{authority} n’enverra plus rien à {address}. Un message déjà en route peut encore arriver.",
        "{authority} will send nothing more to {address}. A message already on its way may still arrive.",
    ),
    "leave.return": ("C’était une erreur, ou vous avez changé d’avis ?", "A mistake, or a change of mind?"),
    "leave.return.button": ("Me réabonner", "Subscribe again"),
    "leave.back.title": ("Vous êtes réabonné", "You are subscribed again"),
    "leave.back": (
        "{authority} vous écrira de nouveau à {address}.",
        "{authority} will write to {address} again.",
    ),
    "leave.silent.title": ("Nous ne vous écrivons plus", "We no longer write to you"),
    "leave.silent": (
        "Depuis le {since}, {authority} n’envoie plus rien à {address}.",
        "Since {since}, {authority} has sent nothing to {address}.",
    ),
    "leave.silent.dead.email": (
        "Un serveur de courriel nous a répondu que cette adresse n’existe pas. Ce n’est pas un désabonnement.",
        "A mail server told us that this address does not exist. It is not that you unsubscribed.",
    ),
    "leave.silent.dead.sms": (
        "L’opérateur nous a répondu que ce numéro n’existe pas. Ce n’est pas un désabonnement.",
        "The operator told us that this number does not exist. It is not that you unsubscribed.",
    ),
    "leave.silent.refused": (
        "Pendant des semaines, nos messages nous sont revenus : la boîte était pleine, ou fermée. Ce n’est pas un "
        "désabonnement.",
        "For weeks our messages came back: the mailbox was full, or closed. It is not that you unsubscribed.",
    ),
    "leave.silent.complaint": (
        "Un de nos messages à cette adresse a été signalé comme indésirable.",
        "One of our messages to this address was reported as spam.",
    ),
    "leave.silent.dead.return": (
        "Tout fonctionne bien ? Un bouton, et les messages reprennent.",
        "Does all work well? One button, and messages come again.",
    ),
    "leave.silent.refused.return": (
        "La boîte prend de nouveau les messages ? Un bouton, et ils reprennent.",
        "Does the mailbox take messages again? One button, and they come.",
    ),
    "leave.silent.complaint.return": (
        "C’était une erreur ? Un bouton, et les messages reprennent.",
        "Was that a mistake? One button, and messages come again.",
    ),
    "leave.silent.button": ("Recevoir de nouveau les messages", "Get messages again"),
    "leave.silent.leave": ("Vous préférez ne plus rien recevoir ?", "Would you rather get nothing any more?"),
    "leave.invalid.title": ("Ce lien n’est pas valable", "This link is not valid"),
    "leave.invalid": (
        "Il a peut-être été coupé en chemin : ouvrez-le depuis le message reçu, ou écrivez à votre mairie.",
        "It may have been cut on its way: open it from the message, or write to your town hall.",
    ),
    "leave.website": ("Site de {authority}", "Website of {authority}"),
    # sign in
    "login.title": ("Accès des agents", "Officers’ access"),
    "login.label": ("Code d’accès", "Access code"),
    "login.button": ("Entrer", "Enter"),
    "login.wrong": ("Ce code n’est pas le bon.", "That is not the code."),
    # errors
    "error.back": ("Retour à la vue d’ensemble", "Back to the overview"),
    "error.404.title": ("Introuvable", "Not found"),
    "error.404": (
        "Rien ne se trouve à cette adresse, ou cela a été effacé.",
        "Nothing is at this address, or it has been erased.",
    ),
    "error.400.title": ("Demande incompréhensible", "Request not understood"),
    "error.403.title": ("Accès refusé", "Access refused"),
    "error.403": (
        "Les pages de suivi montrent des données personnelles : elles ne sont servies que sur cette machine "
        "(http://127.0.0.1), ou avec un code d’accès. Pour les ouvrir ailleurs, réglez "
        "TAMBOUR_PORTAL__OFFICER_TOKEN.",
        "Tracking pages show personal data: they are served on this machine only (http://127.0.0.1), or with an "
        "access code. To open them elsewhere, set TAMBOUR_PORTAL__OFFICER_TOKEN.",
    ),
    "error.429.title": ("Trop de demandes", "Too many requests"),
    "error.429": ("Réessayez dans une minute.", "Try again in a minute."),
    "error.500.title": ("Erreur interne", "Internal error"),
    "error.500": (
        "Une erreur imprévue s’est produite ; elle est dans le journal du portail.",
        "An unforeseen error occurred; it is in the portal’s log.",
    ),
    "error.503.title": ("La base de données ne répond pas", "The database does not answer"),
    "error.503": (
        "Rien n’est perdu : le suivi reviendra dès qu’elle répondra. Réessayez dans un instant.",
        "Nothing is lost: tracking comes back as soon as it answers. Try again in a moment.",
    ),
    "error.method": ("Cette adresse ne prend pas cette méthode.", "This address does not take that method."),
}


@dataclass(frozen=True, slots=True)
class Words:
    """The texts in one language: ``words("version", n=2)``. KeyError for a key that is not in TEXTS."""

    language: str

    def __call__(self, key: str, **values: object) -> str:
        text = TEXTS[key][LANGUAGES.index(self.language)]
        return text.format(**values) if values else text

    def rich(self, key: str, **values: object) -> Markup:
        """The same for a page: values that are markup (a time element) stay so, all others are escaped."""
        return Markup(escape(TEXTS[key][LANGUAGES.index(self.language)])).format(**values)

    def named(self, family: str, word: str | None) -> str:
        """The text for one of a family's words ("state", "sent"); the word itself when we have none for it."""
        if word is None:
            return self("none")
        pair = TEXTS.get(f"{family}.{word}")
        return pair[LANGUAGES.index(self.language)] if pair else word


def preferred(query: str | None, cookie: str | None, accept: str | None) -> str:
    """The language to answer in: asked for, chosen before, else the browser's first of ours (RFC 9110, 12.5.4)."""
    for wanted in (query, cookie):
        if wanted in LANGUAGES:
            return wanted
    ranked: list[tuple[float, int, str]] = []
    for position, part in enumerate((accept or "").split(",")[:20]):
        tag, _, parameters = part.strip().partition(";")
        try:
            weight = float(parameters.strip().removeprefix("q=")) if parameters else 1.0
        except ValueError:
            continue
        language = tag.partition("-")[0].lower()
        if language in LANGUAGES and weight > 0:
            ranked.append((-weight, position, language))
    return min(ranked)[2] if ranked else LANGUAGES[0]
