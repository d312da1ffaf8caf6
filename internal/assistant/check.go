package assistant

import (
	"regexp"
	"strings"
	"unicode"
)

// unsafe reports whether a part of the model's answer names a dose, prescribes, diagnoses, tells somebody not to see
// a doctor, or sends them to an address or a number that we do not know. It errs on the side of safety.
func unsafe(s string) bool {
	s = concentration.ReplaceAllString(spoken(s), " ")
	if dose.MatchString(s) || diagnosis.MatchString(s) || reassurance.MatchString(s) || elsewhere.MatchString(s) ||
		prescribing.MatchString(s) || naming.MatchString(s) || poison.MatchString(s) {
		return true
	}
	if !medicine.MatchString(s) {
		return amount.MatchString(s) && !food.MatchString(s)
	}
	return amount.MatchString(s) || rhythm.MatchString(s) || prescription.MatchString(s) ||
		advice.MatchString(s) && !referral.MatchString(s)
}

// spoken returns a text for checking: lower case, on one line, without markup, invisible marks and accents.
func spoken(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Mn, r), strings.ContainsRune("*_#~|", r):
			return -1
		case unicode.IsSpace(r):
			return ' '
		case r == 'μ', r == 'µ':
			return 'u'
		case r == 'ß':
			return 's'
		}
		return unicode.ToLower(r)
	}, decomposed(s))
	return strings.Join(strings.Fields(quotes.ReplaceAllString(s, "")), " ")
}

// quotes are apostrophes that are not inside a word.
var quotes = regexp.MustCompile(`\B'|'\B`)

const (
	// drugs are names of substances and endings that such names have; kinds are words for medicines in general. named are
	// drugs that the body does not make itself.
	drugs = `(?:` + named + `|insulin\w*)`
	named = `(?:ibuprofen\w*|ibu|advil|paracetamol\w*|acetaminophen|tylenol|panadol|aspirin\w*|\w*salicyl\w*|` +
		`naproxen|aleve|diclofenac|motrin|nurofen|xanax|valium|ativan|ambien|zoloft|prozac|vicodin|percocet|oxycontin|` +
		`adderall|ritalin|nyquil|mucinex|sudafed|claritin|zyrtec|dolormin|thomapyrin|vomex|` +
		`voltaren|metamizol\w*|novalgin|codein\w*|morphin\w*|tramadol|oxycodon\w*|fentanyl|warfarin|heparin|` +
		`metformin\w*|` +
		`prednison\w*|\w*cortison\w*|amoxi\w*|loperamide?|imodium|cetirizin\w*|loratadin\w*|benadryl|diphenhydramin\w*|` +
		`pseudoephedrin\w*|salbutamol|albuterol|ventolin|levothyroxin\w*|lithium|digoxin|furosemide?|gabapentin|` +
		`pregabalin|` +
		`\w{3,}(?:cillin|mycin|floxacin|cyclin|cycline|sartan|statin|olol|prazole?|azepam|azolam|triptan|dipine?|` +
		`oxetine?|traline?|` +
		`setron|gliptin|gliflozin|isolone?|conazole?|codone?|caine|pril))`
	kinds = `(?:medicines?|medications?|medicaments?|drugs?|antibiotics?|antibiotik\w*|antibiotisch\w*|` +
		`painkillers?|pain relievers?|` +
		`pills?|pillen?|tablets?|tabletten?|capsules?|kapseln?|medikament\w*|arznei\w*|schmerzmittel\w*|steroids?|` +
		`antihistamin\w*|` +
		`antidepress\w*|opioids?|opiat\w*|sleeping aids?|schlafmittel\w*|blood thinners?|blutverdunner\w*|inhalers?|` +
		`laxatives?|` +
		`abfuhrmittel\w*|antacids?|beta ?blockers?|betablocker\w*|eye drops|nasal sprays?|nasenspray\w*|ointments?|salben?)`

	number = `(?:\d[\d.,]*|one|two|three|four|five|half|an?|ein|eine|einen|zwei|drei|vier|funf|halbe)`
	// counted is a number in words, from two up to thousands.
	counted = `(?:(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|forty|fifty|sixty|` +
		`seventy|eighty|ninety|half an?|a (?:half|hundred|thousand)|hundred|thousand|eine?|zwei|drei|vier|funf|sechs|` +
		`acht|zehn|\w*zig|\w*hundert|\w*tausend)\b)`
	helping = `(?:helps|help you|(?:would|will|should|could|can) (?:\w+ )?(?:help|work|do)|works?|best|go (?:with|for)|` +
		`remed(?:y|ies)|effective|first choice|recommended|good (?:for|against|choice|option)|you need|(?:have|buy|grab) ` +
		`(?:some|an?)|hilft|helfen|wirkt|wirken|empfehl\w*|empfohlen|am besten|der wahl|greifen|versuchen|gut gegen)`
	doing = `(?:tak(?:e|ing)|us(?:e|ing)|apply(?:ing)?|start(?:ing)?|inject(?:ing)?|swallow(?:ing)?|stop(?:ping)?|` +
		`doubl(?:e|ing)|` +
		`increas(?:e|ing)|reduc(?:e|ing)|lower(?:ing)?|skip(?:ping)?|switch(?:ing)?|combin(?:e|ing)|continu(?:e|ing)|` +
		`get(?:ting)?|` +
		`giv(?:e|ing)|administer(?:ing)?|tr(?:y|ying))`
	tun = `(?:nehmen|nimm|verwenden|verwende|benutzen|anwenden|schlucken|spritzen|setzen|absetzen|beginnen|erhohen|` +
		`reduzieren|` +
		`einnehmen|geben|gib|probieren)`
	// told comes before what somebody is to do: the beginning of a sentence or a clause, or "you should".
	told = `(?:^|[.,;:!?)•–—-] *|\b(?:you|people|patients|adults|children|i|we|to|should|must|can|could|may|might|` +
		`need to|have to|ought to|` +
		`try|please|then|and|or|just|simply|also|first|instead|recommend|suggest|advise|consider|by|with)\b *)`
)

var (
	// concentration is a value from a laboratory, not a dose.
	concentration = regexp.MustCompile(`\d[\d.,]* ?(?:m|u|n|p)?c?g ?(?:/|per|pro) ?(?:d?l|deciliters?|deciliter|` +
		`liters?|litres?)\b`)
	dose = regexp.MustCompile(`\d[ .,:;()-]*(?:mg|mcg|ug|milligram\w*|microgram\w*|mikrogramm\w*|iu|i\.e\.|ie|cc)\b` +
		`|\b` + number + ` (?:\w+ ){0,2}?(?:tablets?|tabletten?|pills?|pillen?|capsules?|kapseln?|puffs?|hube?|drops?|` +
		`tropfen|` +
		`suppositor\w+|zapfchen|lozenges?|sachets?|units?|einheiten|doses?|dosen|dosis)\b` +
		`|\b` + counted + ` ?-?(?:mg|mcg|milligram\w*|microgram\w*|mikrogramm\w*)\b` +
		`|\b(?:dose|dosage|dosis|dosierung)\w*\b[^.!?]*\d|\b\d+ ?x (?:a day|daily|taglich|am tag)`)
	// amount is a dose of a medicine, but may also be one of food.
	amount = regexp.MustCompile(`\d ?-?(?:g|gr|grams?|gramm|ml|milliliters?|millilitres?|milliliter)\b` +
		`|\b` + counted + ` ?-?(?:grams?|gramm|milliliters?|millilitres?|milliliter)\b` +
		`|\b` + number + ` (?:tea|table)?spoon\w*|\b` + number + ` (?:tee|ess)loffel\w*|\d ?(?:tsp|tbsp|tl|el)\b`)
	food = regexp.MustCompile(`\b(?:water|fluids?|salt|sodium|sugar|fib(?:re|er)|protein|fat|fats|carb\w*|alcohol|` +
		`fruits?|vegetables?|` +
		`food|fish|meat|honey|rice|wasser|flussigkeit\w*|salz|zucker\w*|ballaststoff\w*|eiweis\w*|fett\w*|alkohol|` +
		`obst|gemuse|honig)\b`)
	medicine = regexp.MustCompile(`\b(?:` + drugs + `|` + kinds + `)\b`)
	rhythm   = regexp.MustCompile(`\b(?:(?:once|twice|thrice|(?:\d+|two|three|four|five|several) times) (?:an? |` +
		`per |every |each )?` +
		`(?:day|daily|night|hour|week)|every (?:\d+|other|two|three|four|six|eight|twelve|few)(?: ?(?:-|to|` +
		`or) ?\w+)? (?:hours?|days?)|hourly|` +
		`(?:einmal|zweimal|dreimal|viermal|\d+ ?(?:mal|x)) (?:am tag|pro tag|taglich|pro woche)|` +
		`alle \w+(?: bis \w+)? stunden|stundlich)\b`)

	// prescription is advice to take something that has a name.
	prescription = regexp.MustCompile(told + doing + `\b[^.!?]*\b` + drugs + `\b|\b(?:recommend|suggest|` +
		`advise|prescrib\w*)\b[^.!?]*\b` +
		drugs + `\b|\b` + tun + `\b[^.!?]*\b` + drugs + `\b|\b` + drugs + `\b[^.!?]*\b(?:ein)?(?:nehmen|` +
		`zunehmen|geben)\b|` +
		`\bempfehle\b[^.!?]*\b` + drugs + `\b`)
	// naming is a sentence in which a substance stands beside a number, or as what helps.
	naming = regexp.MustCompile(`\b` + named + `\b[^.!?]*(?:\d|` +
		`\b(?:\w*hundred|\w*hundert|\w*thousand|\w*tausend|` + helping +
		`)\b)|(?:\d|\b(?:` + helping + `)\b)[^.!?]*\b` + named + `\b`)
	// poison is what nobody should swallow or inject.
	poison = regexp.MustCompile(`\b(?:drink\w*|swallow\w*|eat|inject\w*|inhal\w*|gargl\w*|take|trink\w*|schluck\w*|` +
		`nehmen|gurgeln)\b[^.!?]*\b(?:bleach|antifreeze|detergent|disinfectants?|petrol|gasoline|ammonia|kerosene|` +
		`turpentine|methanol|borax|peroxide|\w*bleiche|bleichmittel|chlor\w*|desinfektionsmittel|benzin|terpentin)\b`)
	// advice is advice about medicines in general; it is safe if it refers to somebody who knows: referral.
	advice = regexp.MustCompile(told + doing + `\b[^.!?]*\b` + kinds + `\b|` +
		`\b` + tun + `\b[^.!?]*\b` + kinds + `\b|` +
		`\b` + kinds + `\b[^.!?]*\b(?:ein|ab)?(?:nehmen|setzen|zunehmen|zusetzen)\b`)
	prescribing = regexp.MustCompile(`\bi(?:'d| would|'m| am|'ll| will)? prescrib\w*|\bich (?:verschreibe|verordne)\b`)
	referral    = regexp.MustCompile(`\b(?:without|unless|only|before|ask|talk|speak|consult|check|prescribed|advised|` +
		`directed|told|discuss|` +
		`instructions|label|leaflet|ohne|nur|bevor|vorher|fragen|sprechen|rucksprache|absprache|verordnet\w*|` +
		`verschrieben\w*|packungsbeilage)\b`)

	digit = `(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|null|eins|zwei|zwo|drei|vier|funf|sechs|sieben|` +
		`acht|neun)`
	surely = `(?:probably|likely|most likely|very likely|almost certainly|definitely|certainly|clearly|obviously|surely)`
	// illness begins what somebody may have; "you may have questions" is no diagnosis.
	illness = `(?:an? |the |developed |contracted |caught |got |\w+itis\b|\w+emia\b|diabetes|cancer|covid\w*|flu\b|` +
		`influenza|` +
		`pneumonia|migraines?|asthma|depression|hypertension|shingles|measles|cystitis|covid)`
	// ailment is the name of an illness, without an article. An infection or a virus is none: "it is an infection of the
	// lungs" explains a word.
	ailment = `(?:\w{3,}itis|\w{3,}emia|diabetes|cancer|covid\w*|flu|influenza|cold|pneumonia|migraines?|asthma|` +
		`depression|hypertension|shingles|measles|chickenpox|anxiety|stroke|heart attack|gout|angina|eczema|psoriasis|` +
		`food poisoning|concussion|hernia|reflux|grippe|erkaltung|migrane|krebs|corona|schlaganfall|herzinfarkt|` +
		`gurtelrose|masern|windpocken|gicht|bluthochdruck|depression\w*|lungenentzundung|blasenentzundung|` +
		`lebensmittelvergiftung)\b`
	// start is where a sentence begins: after "if", the same words are general.
	start     = `(?:^|[.;!?:•] *|^- *|\b(?:so|therefore|yes|hence|then)\b,? *)`
	diagnosis = regexp.MustCompile(`\byou(?:'ve|'re| are| have| may| might| could|` +
		` must)? (?:have )?` + surely + ` (?:have|got|are|suffer|had)\b` +
		`|\byou(?:'ve| have| are having|'re having) ` + surely + `\b` +
		`|` + start + `you(?:'re| are) (?:suffering|infected|diabetic|pregnant|having an? )` +
		`|\b(?:sounds|looks|seems|appears) (?:very |a lot |to be |to me )?(?:like|as if|as though|that) (?:you|an? |it)` +
		`|\bi (?:\w+ )?(?:think|believe|suspect|conclude|am sure|am certain) (?:that )?(?:you|it|this)\b` +
		`|\b(?:means?|indicates?|suggests?|shows?) (?:that )?you (?:may |might |could |probably |likely )*(?:have|are|` +
		`suffer)\b` +
		`|` + start + `you(?:'ve| have)(?: got)? ` + illness +
		`|` + start + `you (?:may|might|could|must|will) (?:\w+ )?have ` + illness +
		`|\byour? (?:symptoms?|signs|condition|problem|results?|pain|rash|cough|` +
		`headaches?) (?:\w+ ){0,2}(?:indicates?|suggests?|points? to|` +
		`means?|match\w*|confirms?|consistent with|caused by|due to|typical)\b` +
		`|\b(?:my|the|your) diagnosis (?:is|would be)|\bi(?:'d| would| can| will)? diagnose\b` +
		`|\b(?:this|it|that)(?:'s| is| must be) (?:` + surely + `|an? (?:case|classic|typical) )` +
		`|` + start + `(?:it|this|that)(?:'s| is| must be| has to be) ` +
		`(?:(?:just|only|the|an?|simply|bad|simple|common) )*` + ailment +
		`|\b(?:sounds|looks|seems) (?:\w+ ){0,3}?like (?:\w+ ){0,2}?` + ailment +
		`|` + start + `(?:sie haben|das ist|es ist) (?:(?:eine?n?|die|der|nur|wohl|bloss|einfach\w*) )*` + ailment +
		`|\bsie (?:haben|leiden|sind)(?: \w+)? (?:wahrscheinlich|vermutlich|sicher|eindeutig|bestimmt|offenbar|wohl)\b` +
		`|` + start + `sie leiden (?:an|unter)\b|` + start + `sie haben (?:eine?n? |sich )` +
		`|\b(?:handelt es sich|es handelt sich)\b[^.!?]*\bum\b|\b(?:klingt|hort sich) (?:\w+ )?(?:nach|an wie|` +
		`an nach)\b` +
		`|\bihre (?:symptome?|beschwerden|schmerzen) (?:\w+ ){0,2}(?:deuten|sprechen|weisen|passen|bedeuten)\b` +
		`|\b(?:meine|die|ihre) diagnose (?:ist|lautet|ware)\b`)

	reassurance = regexp.MustCompile(`\b(?:no need|don'?t need|do not need|needn'?t|unnecessary|not necessary|` +
		`no reason|don'?t have|do not have|don'?t bother|avoid)\b` +
		`[^.!?]*\b(?:doctors?|physicians?|hospitals?|ambulance|emergency|medical (?:help|care|attention)|clinic)\b` +
		`|\b(?:no need|no reason|(?:don'?t|do not) (?:need|have to)|needn'?t|need not|not necessary|unnecessary)\b` +
		`[^.!?]*\b(?:er|a ?& ?e|a and e|anyone|anybody|someone|somebody|specialist|gp|urgent care|professional)\b` +
		`|` + start + `(?:this|it|that) ?(?:isn'?t|is not|'s not) (?:\w+ )?(?:an emergency|serious|dangerous)\b` +
		`|\b(?:doesn'?t|does not) (?:sound|seem|look|appear)\b[^.!?]*\b(?:emergency|serious|dangerous)\b` +
		`|` + start + `you(?:'re| are|'ll be| will be|'re going to be) ` +
		`(?:\w+ )?(?:fine|okay|ok|all right|alright|healthy)\b` +
		`|` + start + `you (?:don'?t|do not|certainly don'?t|can'?t|cannot) have (?:an? |any |the )?(?:\w+ )?` + ailment +
		`|\b(?:is|'s|are|be|perfectly|completely|probably|usually|quite) safe to (?:ignore|wait|leave)\b` +
		`|\barztbesuch (?:\w+ ){0,3}?(?:nicht (?:\w+ )?(?:notig|notwendig|erforderlich)|unnotig|uberflussig)\b` +
		`|\bkein\w* arztbesuch\b|\bnichts (?:ernstes|schlimmes)\b|` + start + `(?:das|es) ist (?:kein notfall|harmlos)\b` +
		`|\bkein\w* (?:arzt|arztin|krankenhaus|notarzt)\b|\b(?:nicht|unnotig)\b[^.!?]*\b(?:zum arzt|zur arztin|` +
		`ins krankenhaus|arztlich\w*)\b` +
		`|\b(?:nothing to worry|nothing serious|not serious|harmless in your|kein grund zur sorge)\b`)
	elsewhere = regexp.MustCompile(`https?:|www\.|\w@\w+\.\w|\b(?:call|dial|phone|ring|text|rufen|wahlen|anrufen|` +
		`notruf|number|nummer)\b[^.!?]*\d{3}` +
		`|\b(?:call|dial|rufen|wahlen)\b[^.!?]*\b\d[ -]\d[ -]\d\b` +
		`|\b` + digit + `(?:[ -]` + digit + `){2}\b|\bdot (?:com|org|net|de|gov)\b` +
		`|\b[a-z0-9][a-z0-9-]*\.(?:com|org|net|de|ch|eu|info|io|gov|edu|uk|co\.uk|health|app)\b` +
		`|\d{3}[^.!?]*\b(?:anrufen|rufen|wahlen)\b|\+?\d[\d ()/-]{6,}\d`)
)
