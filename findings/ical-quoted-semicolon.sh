#!/usr/bin/env bash
# npm's iCalendar parsers cut a quoted parameter at a semicolon.
#
# RFC 5545, 3.2 allows ; : and , inside a quoted parameter value, so that
# ORGANIZER;CN="Smith; Jones":mailto:a@b.example names "Smith; Jones".
# node-ical 0.27.2 and ical 0.8.0 read "Smith (with the opening quote). That is
# why internal/calendar replaces these characters in parameters.
#
# Needs node and npm. Exits 0 while the parsers behave so, 1 if that changed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund --ignore-scripts node-ical@0.27.2 ical@0.8.0 >/dev/null 2>&1
cat >check.js <<'JS'
const text = [
  "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", "BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z",
  "DTSTART:20260101T000000Z", "DTEND:20260101T003000Z", 'ORGANIZER;CN="Smith; Jones":mailto:a@b.example',
  "SUMMARY:x", "END:VEVENT", "END:VCALENDAR", "",
].join("\r\n");
let changed = false;
for (const [name, parse] of [
  ["node-ical", (t) => require("node-ical").sync.parseICS(t)], ["ical", (t) => require("ical").parseICS(t)],
]) {
  const cn = Object.values(parse(text)).find((e) => e.type === "VEVENT").organizer.params.CN;
  console.log(`${name} reads ${JSON.stringify(cn)}`);
  changed ||= cn !== '"Smith';
}
process.exit(changed ? 1 : 0);
JS
node check.js
