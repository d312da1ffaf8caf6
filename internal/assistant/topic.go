package assistant

import (
	"regexp"
	"strings"
)

// greetings are what people write to be polite. A message that consists of nothing else is one.
var greeting = regexp.MustCompile(`^ (?:(?:hi+|hello+|hey+|hiya|howdy|greetings|yo|good (?:morning|afternoon|` +
	`evening|day|night)|morning|` +
	`welcome|thanks?|thank you|thank u|thx|ty|many|so|very|much|a|lot|ok|okay|cool|great|bye|goodbye|see you|` +
	`please|there|` +
	`doctor|doc|dr|assistant|bot|everyone|again|how are you|how are u|how do you do|whats up|nice to meet you|` +
	`who are you|what are you|` +
	`what can you do|what do you do|can you help me|help|test|` +
	`hallo|hallochen|moin|servus|gruss gott|gruezi|guten (?:morgen|tag|abend)|gute nacht|morgen|danke|dank|dankeschon|` +
	`danke schon|vielen|` +
	`schon|sehr|bitte|tschuss|auf wiedersehen|wie geht es (?:dir|ihnen)|wie gehts|wer (?:bist du|sind sie)|` +
	`was (?:kannst du|konnen sie)|` +
	`und|and|to|you|du|sie|herr|frau|namaste|namaskar|hola|bonjour|salut|ciao|merci|gracias) )+$`)

func isGreeting(s string) bool { return greeting.MatchString(plain(s)) }

// offTopic are questions that are certainly not about health, unless the message also has a word of medical. The model
// judges the rest.
var offTopic = regexp.MustCompile(`\b(?:capital (?:city )?of|weather|forecast|poems?|poetry|lyrics|songs?|` +
	`movies?|films?|netflix|jokes?|` +
	`riddles?|python|javascript|java|golang|html|sql|programming|source code|write (?:me )?(?:a |some )?(?:code|` +
	`program|essay|story|script|letter)|` +
	`football|soccer|cricket|basketball|tennis|olympi\w+|world cup|bundesliga|stocks?|shares|bitcoins?|crypto\w*|` +
	`exchange rate|lottery|` +
	`presidents?|prime minister|elections?|politic\w*|parliament|chancellor|` +
	`homework|equations?|square root|what is \d+ (?:plus|minus|times|x|\d)|calculate \d|translate|horoscopes?|zodiac|` +
	`flights?|hotels?|iphones?|smartphones?|laptops?|windows|video ?games?|recipes? for|` +
	`hauptstadt|wetter\w*|gedichte?|lieder?|witze?|fussball\w*|aktien\w*|wahlen?|bundeskanzler\w*|` +
	`program[m]ier\w*|hausaufgaben?|gleichung\w*|ubersetz\w*|horoskop\w*|rezept fur (?:kuchen|brot|pizza|suppe))\b`)

var medical = regexp.MustCompile(`\b(?:health\w*|healthy|doctor\w*|medic\w*|hospital\w*|clinic\w*|nurse\w*|` +
	`symptom\w*|diseas\w*|ill|illness\w*|` +
	`sick\w*|pain\w*|hurt\w*|\w*aches?|fever\w*|cough\w*|cold|flu|virus\w*|infect\w*|allerg\w*|asthma\w*|breath\w*|` +
	`lungs?|heart\w*|blood\w*|` +
	`pressure|diabet\w*|cancer\w*|tumou?r\w*|skin|rash\w*|itch\w*|wound\w*|burn\w*|bone\w*|joint\w*|muscle\w*|back|` +
	`neck|knee\w*|head\w*|eyes?|` +
	`ears?|nose|throat|tooth|teeth|mouth|stomach\w*|belly|bowel\w*|liver|kidney\w*|bladder|urin\w*|diarrh\w*|` +
	`constipat\w*|nause\w*|vomit\w*|` +
	`dizz\w*|tired\w*|fatigue|sleep\w*|insomnia|stress\w*|anxi\w*|depress\w*|mental\w*|panic|mood|migraine\w*|` +
	`pregnan\w*|period\w*|menstru\w*|baby|` +
	`babies|breast\w*|diets?|nutrition\w*|weight|obes\w*|eat\w*|vitamin\w*|exercis\w*|vaccin\w*|drug\w*|tablet\w*|` +
	`pills?|antibiotic\w*|therap\w*|` +
	`treat\w*|surg\w*|operation\w*|injur\w*|bleed\w*|swell\w*|swollen|smok\w*|alcohol\w*|sex\w*|contracep\w*|` +
	`hygiene|body|bodies|immun\w*|thyroid|` +
	`hormon\w*|cholesterol|stroke|seizure\w*|sunburn\w*|tick|bite\w*|sting\w*|sneez\w*|appointment\w*|recover\w*|` +
	`heal\w*|` +
	`gesund\w*|arzt\w*|arzt|krank\w*|schmerz\w*|fieber\w*|husten|schnupfen|erkalt\w*|grippe|blut\w*|herz\w*|` +
	`lunge\w*|haut\w*|ausschlag|juck\w*|` +
	`kopf\w*|bauch\w*|magen\w*|rucken\w*|knie\w*|hals\w*|zahn\w*|augen?|ohr\w*|schlaf\w*|mude\w*|schwanger\w*|` +
	`impf\w*|medikament\w*|tablette\w*|` +
	`ernahr\w*|gewicht\w*|therapie\w*|ubel\w*|durchfall|erbrech\w*|schwindel\w*|angst\w*|\w*allergie\w*|wunde\w*|` +
	`verletz\w*|symptome?|korper\w*)\b`)

// isOffTopic reports whether a message is certainly not about health.
func isOffTopic(s string) bool {
	p := plain(s)
	return offTopic.MatchString(p) && !medical.MatchString(p)
}

// declined is the word with which the model says that a question is not about health.
const declined = "NOT_HEALTH"

// declines reports whether an answer begins with it; models like to add apologies and punctuation.
func declines(s string) bool { return strings.HasPrefix(plain(s), plain(declined)) }
