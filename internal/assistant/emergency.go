package assistant

import (
	"regexp"
	"strings"
)

// emergency reports whether a message may be about an emergency: one that is happening, or one that somebody fears.
// It errs on the side of safety. "No chest pain" counts as well, since a wrong number costs a moment, and overlooking
// "not only chest pain" may cost a life.
func emergency(s string) bool {
	all := strings.Fields(harmless.ReplaceAllString(plain(head(s, scanned)), " "))
	for from := 0; from == 0 || from < len(all)-window/2; from += window / 2 {
		part := all[from:min(from+window, len(all))]
		if urgent.MatchString(" " + strings.Join(part, " ") + " ") {
			return true
		}
	}
	return false
}

// window is how many words are looked at together. Windows overlap by half, so that whatever belongs together, within
// ten words, is in one of them; and a long message takes no longer than its length.
const window = 20

// harmless are words that only look like bleeding or a blow, and usual amounts, which are no number of pills.
var harmless = regexp.MustCompile(`\bblood ?(pressures?|tests?|testing|sugars?|types?|groups?|donat\w+|counts?|` +
	`cells?|thinners?|glucose|vessels?|works?|levels?|lipids?)\b` +
	`|\bblut(druck|test|wert|zucker|grupp|spend|abnahme|bild|verdunn|verduenn|gefass|gefaess|fett)\w*|` +
	`\bheart ?strokes?\b` +
	`|\b(?:(?:[1-3]?\d{1,3} ?m(?:g|l|cg)|\d{1,2} (?:units|einheiten)|` +
	`(?:\d+|ten|twelve|fifteen|twenty|thirty|forty|fifty|zehn|zwolf|\w*zig) ?` +
	`(?:minut\w*|hours?|stunden?|days?|tagen?|weeks?|wochen?|` +
	`months?|monaten?|years?|jahren?|grams?|gramm|g|calories|kalorien|kcal|steps|schritte|percent|prozent))\b)`)

// urgent matches texts that plain has written. German umlauts may stand as one letter or as two: a?e?, o?e?, ue?.
var urgent = regexp.MustCompile(`\b(?:` + strings.Join(urgentWords, `|`) + `)`)

// gap is any number of words between two that belong together, within one window; near is at most four.
const (
	gap  = `.*?`
	near = `\w* (?:\w+ ){0,4}?`

	pain  = `(?:pains?|painful|hurt\w*|ach(?:e|es|ing)|pressure|tight\w*|heav\w+|crush\w*|squee[zs]\w*|burn\w*|stab\w*)\b`
	weh   = `(?:schmerz\w*|weh\b|tut weh|druck\w*|eng\w*|stech\w*|stich\w*|brenn\w*)`
	heavy = `(?:heav\w+|sever\w*|badly|lots?|so much|too much|uncontrol\w*|profus\w*|massiv\w*|nonstop|everywhere|` +
		`gush\w*|` +
		`spurt\w*|pour\w*|(?:wont|cant|doesnt|not|cannot|never|does not|non) stop\w*)`
	// many is a number of pills that nobody takes at once.
	many = `(?:\d{2,}|ten|twelve|fifteen|twenty|thirty|forty|fifty|sixty|hundreds?|dozens?|handfuls?|whole \w+|zehn|` +
		`zwo?e?lf|\w*zehn|\w*zig|\w*ssig|hundert|handvoll|dutzende?|ganze \w+)`
	pills     = `(?:pill|tablet|capsul|kapsel|tylenol|` + kinds + `\b|` + drugs + `\b)`
	swallowed = `(?:took|taken|swallow\w*|ate|eaten|popped|downed)`
	// geschluckt is the same in German.
	geschluckt = `(?:ein)?(?:genommen|nahm|(?:ge|ver)?schluckt\w*|gegessen)\b`

	limb  = `(?:arms?|legs?|hands?|feet|foot|face)\b`
	glied = `(?:arme?|beine?|hand|hande|ha?ende|fuss|gesicht)\b`
	high  = `(?:bridge|roof|building|window|cliff|balcony|tower|trains?|train|car|bus|ledge|tracks)`
	hoch  = `(?:\w*bru?e?cke|dach|\w*haus|fenster|balkon|turm|zug|bahn|auto|gleis\w*)`
	stark = `(?:stark\w*|heftig\w*|viel\w*|massiv\w*|nicht auf|nicht mehr auf|stopp\w*|stillen|uberall|ueberall)`
)

var urgentWords = []string{
	// The heart.
	`chest` + gap + `\b` + pain, pain + gap + `chest\b`, `heart ?(?:att?ac?k\w*|stop\w*|failing)`, `cardiac arrest`,
	`brust\w*` + gap + `\b` + weh, `brust(?:schmerz|eng|druck|stech)\w*`, weh + gap + `\bbrust\w*`,
	`herz ?(?:infar\w+|anfall\w*|stillstand|attacke\w*|schmerz\w*)`,
	`herz` + near + `\b(?:schmerz|stech|stich|druck)\w*`, `dolor` + near + `pecho`, `infarto`,
	`douleur` + near + `poitrine`,
	`infar(?:c?tus|ct|kt)\w*`, `crise cardiaque`,
	// A stroke.
	`strokes?\b`, `\w*schlaganfa?e?ll\w*`, `hirn(?:schlag|blut)\w*`, `gehirnschlag`, `ictus\b`, `(?:un|an) avc\b`,
	`(?:face|mouth|smile)` + gap + `\b(?:droop\w*|crooked|numb\w*|hanging|paraly\w*)`,
	`droop\w*` + near + `(?:face|mouth)`,
	`slur\w*`,
	`(?:cant|cannot|can not|unable to) (?:speak|talk|move|see) (?:$|properly|any ?more|anything|any|clearly|well|` +
		`right|out|with one|on one|my (?:arm|leg|hand|face))`, `(?:numb|weak|paraly)\w*` + gap + `\b(?:one|left|right|` +
		`my|a) side\b`,
	`(?:one|left|right) side` + gap + `\b(?:numb|weak|paraly)\w*`, `worst headache`, `thunderclap`,
	`(?:gesicht|mundwinkel)\w*` + near + `\b(?:ha?e?ngt?\w*|schief|taub|gela?e?hmt)`, `gela?e?hmt`, `la?e?hmung\w*`,
	limb + near + `\b(?:numb|weak|paraly)\w*`, `(?:numb|weak|paraly)` + near + `\b` + limb,
	`left arm` + near + `\b` + pain,
	`arms?\b` + gap + `\bjaw\b`, `jaw\b` + gap + `\barms?\b`,
	`(?:cant|cannot|can not|couldnt) feel (?:my|his|her|their)\b`,
	`(?:los(?:s|t|e|es|ing)|sudden\w*)` + near + `\b(?:vision|sight|eyesight)`, `(?:vision|sight) loss`,
	`(?:went|gone|going|suddenly) blind`, `erblindet\w*`, `sehverlust`,
	`plo?e?tzlich` + near + `\b(?:blind|nichts mehr)\b`,
	glied + near + `\b(?:taub|kraftlos)\b`, `taub` + near + `\b` + glied,
	`(?:spu?e?re?|fu?e?hle?)` + near + `\b` + glied + near + `\bnicht`,
	`halbseiti\w*`, `lall(?:t|e|en)?\b`, `verwaschen\w*`,
	`kann` + near + `\bnicht (?:mehr |richtig )*(?:sprechen|reden|sehen|bewegen)`,
	// The wish to die.
	`\w*su[iy]?[cszk]+[iy]?[dz]\w*`, `self ?(?:harm|injur)\w*`, `kill\w* (?:my|him|her|them|your)(?: ?sel\w+|\b)`,
	`kill me\b`,
	`(?:end|ending|take|taking) (?:my|his|her|their) (?:own )?li(?:fe|ves)`, `end(?:ing)? it all`, `want\w* to die`,
	`wanna die`, `(?:wish|want\w*)` + near + `\b(?:i was|were|to be|be) dead`,
	`(?:dont|not|no longer) want to (?:live|be alive|exist|be here)`,
	`better off (?:dead|without me)`, `(?:no|any) reason to live`,
	`(?:hurt|harm|cut|hang|shoot|drown)\w* (?:my|him|her|them) ?sel\w+`,
	`(?:shot|stabbed|hanged|hung|cut) (?:my|him|her|them) ?sel\w+`,
	`(?:cut|slit|slash)\w* (?:my|her|his|their)(?: own)? (?:wrists?|arms?|throat|veins?)`, `pulsadern?`,
	`(?:jump\w* (?:off|from|out|in front)` + near + `|(?:throw|lie)` + near + `\bin front of (?:\w+ )?)\b` + high,
	`(?:want|going|gonna|about|ready)(?: to)? jump (?:off|from|out|in front)`,
	`(?:spring\w*|stu?e?rz\w*|werf\w*|leg\w*) (?:ich |mich |er |sie )?(?:von|vor|aus|auf)` + near + `\b` + hoch + `\b`,
	`(?:von|vor|aus) (?:\w+ )?` + hoch + ` (?:zu |runter|hinunter)?(?:ge)?(?:spring\w*|sprungen|stu?e?rz\w*|werf\w*)`,
	`erschoss\w*`, `erha?e?ng(?:t|en)\b`, `erstochen`,
	`how (?:many|much) (?:\w+ ){0,5}?to (?:die|kill|overdose)\b`, `wie viele? (?:\w+ ){0,5}?zu(?:m| )sterben`,
	`(?:pills|tablets|` + drugs + `)` + near + `\b(?:to die|die|kill me)\b`, `(?:tablett|pill)en` + near + `\bsterben`,
	`selbst ?(?:mord|to?e?t|verletz)\w*`, `umbring\w*`, `bring\w* (?:mich|ihn|sie|sich)` + near + `\bum\b`,
	`leben (?:zu )?(?:nehmen|beenden)`,
	`nicht mehr (?:leben|da sein|weiterleben|aufwachen)`,
	`(?:will|mo?e?chte|wa?e?re|wollte)` + near + `\b(?:sterben|tot)\b`,
	`sterben (?:will|mo?e?chte)`, `(?:verletze|ritze|to?e?te) (?:mich|sich)`,
	`mich (?:selbst )?(?:zu )?(?:verletz|ritz|to?e?t)\w*`,
	`lebensmu?e?de`, `suicidarme`, `quiero morir`, `matarme`, `(?:me|se) tuer\b`, `envie de mourir`,
	// Bleeding.
	heavy + gap + `\b(?:blood|bleed)\w*`, `(?:blood|bleed)\w*` + gap + `\b` + heavy, `ha?emorr?h?ag\w*`,
	`(?:vomit|throw|cough|spit|spat|puk|pee|poo|urinat)\w*` + near + `\bblood\w*`,
	`blood\w*` + near + `\b(?:vomit|stools?|urine)\w*`,
	`(?:ver)?blut\w*` + gap + `\b` + stark, stark + gap + `\b\w*blut\w*`,
	`(?:erbr[eo]ch|spuck|hust|kotz)\w*` + near + `\bblut\w*`,
	`blut\w*` + near + `\b(?:erbr[eo]ch|spuck|gespuckt|hust|gehustet|kotz)\w*`, `bluterbrech\w*`, `verblut\w*`,
	// Breath.
	`(?:cant|cannot|can not|cnt|couldnt|unable to|hard to|hard time|difficult to|trouble|struggl\w*|difficult\w*|` +
		`short\w* of|not|isnt|` +
		`stop\w*|hardly|barely|problems?|gasp\w*|fighting for|no) (?:\w+ ){0,2}(?:br[ei]+a?th\w*|brethe\w*|breath?\w*|` +
		`air)\b`,
	`(?:short|out) of (?:breath|air)`, `breathless\w*`,
	`breath\w*` + near + `\b(?:difficult\w*|problem\w*|trouble|hard\w*|stop\w*)`,
	`suffocat\w*`, `chok(?:e|es|ed|ing)\b`, `asph[iy]x\w*`, `(?:blue|purple) (?:lips|face|baby)`,
	`(?:lips|face|baby)` + near + `\bblue\b`,
	`asthma ?(?:attac\w*|anfa\w+)`, `\w*atemnot`, `luftnot`, `(?:keine|kaum|wenig|nach) luft`,
	`(?:nicht|kaum|schwer|schlecht) (?:mehr )?(?:richtig )?(?:zu )?atmen`,
	`atm\w*` + near + `\b(?:nicht|schwer|kaum)\b`, `erstick\w*`, `atem(?:still|beschwer|prob|aussetz)\w*`,
	`kurzatmig\w*`, `blaue\w* lippen`,
	`lippen` + near + `\bblau`, `verschluck\w*`, `no (?:puedo|puede) respirar`,
	`(?:peux|peut|arrive)` + near + `respirer`, `etouff\w*`,
	// Poison and too much of a medicine.
	`over ?dos\w*`, `(?:took|taken|take|taking|swallow\w*|had) (?:way |far )?too (?:many|much)`,
	`(?:took|taken|swallowed) (?:all|a whole|the whole)`,
	swallowed + near + `\b` + many + ` (?:\w+ ){0,3}?` + pills,
	swallowed + ` (?:about |around |like |over |nearly |almost |maybe )?` + many + ` (?:of|$)`,
	swallowed + near + `\b` + many + ` of (?:my|his|her|the|them|these|those)\b`,
	swallowed + near + `\b(?:[4-9]\d{3}|\d{5,}) ?(?:mg|milli\w+)`,
	`\b` + many + ` (?:\w+ ){0,2}?` + pills + ` (?:\w+ ){0,3}?` + geschluckt,
	geschluckt + near + `\b` + many + ` (?:\w+ ){0,2}?` + pills,
	`swallow\w*` + gap + `\b(?:bleach|batter\w+|poison|chemical\w*|detergent|pills|tablets|cleaner|magnets?|acid)\b`,
	`poison\w*`, `(?:drank|drunk|drink\w*)` + near + `\b(?:bleach|antifreeze|detergent|cleaner|acid)\b`,
	`carbon monoxide`,
	`\w*ue?berdos\w*`, `\w*vergift\w*`, `\w+gift\b`, `gift` + near + `\b(?:gegessen|getrunken|geschluckt|genommen)`,
	`(?:drank|ate|eaten|swallowed|trinkt|trank|isst|ass)` + near + `\bgift\b`,
	`zu viele? (?:\w+ ){0,2}(?:tabletten|pillen|medikament\w*|schlafmittel\w*|insulin)`,
	`(?:tabletten|pillen)` + near + `\b(?:alle|zu viele?)\b`, `alle (?:\w+ ){0,2}(?:tabletten|pillen)`, `sobredosis`,
	`surdose`,
	// A severe allergic reaction.
	`ana?(?:ph|f|p)[iy]l\w*`, `allerg\w* (?:shock|reaction\w*|schock\w*|reaktion\w*)`,
	`(?:throat|tongue|airways?|lips|face)` + gap + `\b(?:swell\w*|swollen|clos(?:e|es|ed|ing)\b)`,
	`(?:swell\w*|swollen)` + near + `\b(?:throat|tongue|lips|face)`,
	`(?:hals|zunge|kehle|rachen|lippen?|gesicht)` + gap + `\b(?:schwill\w*|anschwell\w*|schwell\w*|\w*geschwoll\w*)`,
	`(?:schwell\w*|\w*geschwoll\w*)` + near + `\b(?:hals|zunge|kehle|rachen|lippen?|gesicht)`,
	`(?:hals|kehle)` + near + `\bzu\b`,
	// Not awake, or not as usual.
	`un?cons?c?i?o?u?s\w*`, `(?:pass|passes|passed|passing|black\w*) out\b`, `faint(?:s|ed|ing)?\b`, `collaps\w*`,
	`(?:not|wont|isnt|stopped) respon\w*`, `unrespons\w*`,
	`(?:wont|cant|cannot|not|doesnt) (?:\w+ ){0,2}wak(?:e|es|ing)\b`, `no pulse`, `lifeless`, `not moving`,
	`seizures?\b`, `convuls\w*`,
	`having (?:a )?fits?\b`, `bewusst ?(?:los|sein verlor)\w*`, `ohnma?e?cht\w*`,
	`(?:nicht|kein\w*)` + near + `\b(?:ansprechbar|reagiert?|aufwach\w*|puls|wach)\b`,
	`zusammengebrochen`, `umgekippt`, `kollabier\w*`, `krampfanfa?e?ll\w*`, `(?:krampft|kra?e?mpft)`,
	`epilep\w* anfa\w*`, `inconsciente?`,
	// Anything else that nobody should wait with.
	`emergenc(?:y|ies)`, `ambulance`, `notfa?e?ll\w*`, `not(?:arzt|ruf)\w*`, `rettungs(?:wagen|dienst)`, `drown\w*`,
	`ertrunken`, `ertrink\w*`,
	`electrocut\w*`, `electric shock`, `stromschlag`, `(?:been|was|got) (?:stabbed|shot)`, `gunshot`,
	`(?:severe|bad|serious)\w* burn\w*`,
	`(?:head|skull|spine|neck) (?:injur|trauma)\w*`, `stiff neck` + gap + `fever`, `fever` + gap + `stiff neck`,
	`pregnan\w*` + gap + `\bbleed\w*`, `bleed\w*` + gap + `\bpregnan\w*`,
	`waters?` + near + `\b(?:broke|broken|breaking)\b`,
	`schwanger\w*` + gap + `\bblut(?:e|et|en|ung|ungen)\b`, `blut(?:e|et|en|ung|ungen)\b` + gap + `\bschwanger\w*`,
	`fruchtblase`, `blasensprung`,
	`(?:bit|stung|sting)` + near + `\b(?:\w*snake|viper|cobra|adder|scorpion)`,
	`(?:snake|scorpion)s?` + near + `\b(?:bit|st[ui]ng)`,
	`snake ?bit\w*`, `schlangenbiss\w*`, `schlange` + near + `\bgebissen`, `gebissen` + near + `\bschlange`,
	`swallow` + gap + `\bdrool\w*`, `drool\w*` + gap + `\bswallow`,
	`(?:cant|cannot|unable to) swallow (?:$|anything|at all|water|any ?more|my (?:spit|saliva))`,
	`schwarz vor (?:\w+ )?augen`, `(?:everything|vision|it all) (?:went|goes|going|turn\w*) (?:black|dark)`,
	`meningiti\w*`, `sepsis`, `hirnhautentz\w*`,
	`nackensteif\w*`, `i(?: am| m|m) dying`, `ich sterbe`, `(?:is|was|been|got|getting) raped`, `vergewaltig\w*`,
}
