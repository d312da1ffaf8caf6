// Package account manages users: their roles, sign-in, sessions and invitations.
package account

import (
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/text"
)

// Maximum lengths: of a name in code points, of an email address in bytes (RFC 5321, 4.5.3.1.3).
const (
	NameMax  = 100
	EmailMax = 254
)

// User is an account as other packages and the API may see it: no hash, no token.
type User struct {
	ID                 int64
	PublicID           string
	Email              string
	EmailVerified      bool   // the user has proved that they receive mail at Email
	PendingEmail       string // the address they want instead, "" for none; it counts once verified
	Name               string
	Role               auth.Role
	MustChangePassword bool
	Invited            bool       // no password yet: the invitation has not been accepted
	DisabledAt         *time.Time // nil while the user may sign in
	CreatedAt          time.Time
	Version            int
}

// Session is one sign-in on one device.
type Session struct {
	PublicID   string
	Device     string // the User-Agent of the sign-in
	Address    string // where the sign-in came from
	CreatedAt  time.Time
	LastUsedAt time.Time // accurate to about a minute
	Current    bool      // the request was made with it
}

// PatientDetails is what people may tell the patient registry about themselves when they register. The registry
// validates it.
type PatientDetails struct {
	Phone       string
	Gender      string // "", male, female or other
	DateOfBirth *time.Time
	Age         *int // in years, today; for those who give no date of birth
	Address     string
}

// Contact is what is needed to write to a user.
type Contact struct {
	ID       int64
	PublicID string
	Name     string
	Email    string
	Verified bool // an unverified address gets only emails about the account itself
	Active   bool // false for a disabled user
}

// EndReason says why a session ended before its time.
type EndReason string

// The reasons, as stored.
const (
	EndLogout   EndReason = "logout"
	EndRevoked  EndReason = "revoked"  // by its owner, from another session
	EndReuse    EndReason = "reuse"    // a refresh token was used twice: somebody else has a copy
	EndRole     EndReason = "role"     // the role changed
	EndDisabled EndReason = "disabled" // the account was disabled
	EndPassword EndReason = "password" // the password changed
	EndEmail    EndReason = "email"    // the email address changed
)

// Errors that people see. A failed sign-in looks the same whatever the reason.
var (
	ErrBadCredentials = errs.New(errs.Unauthenticated, "bad_credentials",
		"The email address or user id, or the password, is wrong.")
	ErrRefreshToken = errs.New(errs.Unauthenticated, "session_ended", "This session has ended. Sign in again.")
	ErrInvitation   = errs.New(errs.NotFound, "invitation_invalid",
		"This invitation does not exist, was already used, or has expired. Ask the clinic for a new one.")
	ErrVerification = errs.New(errs.NotFound, "verification_invalid",
		"This link does not exist, was already used, or has expired. Request a new one.")
	ErrReset = errs.New(errs.NotFound, "reset_invalid",
		"This link does not exist, was already used, or has expired. Request a new one.")
	ErrVerified   = errs.New(errs.Conflict, "already_verified", "Your email address is already verified.")
	ErrEmailTaken = errs.New(errs.Conflict, "email_taken", "There is already an account with this email address.")
	ErrAccepted   = errs.New(errs.Conflict, "already_accepted", "This user already has a password.")
	ErrOwnAccount = errs.New(errs.Forbidden, "own_account",
		"You cannot do this to your own account. Ask another administrator.")
	ErrLastAdmin = errs.New(errs.Conflict, "last_admin",
		"This is the last administrator. Make somebody else an administrator first.")
)

// NormalizeEmail returns an address as it is stored and compared: trimmed, in lower case. It accepts a bare addr-spec
// (RFC 5322, 3.4.1) of at most 254 bytes, in ASCII but for an internationalized domain, which becomes its A-label
// (RFC 5890, 2.3.2.1): that is what mail is sent to, and every way of writing the domain is one address.
func NormalizeEmail(s string) (string, error) {
	s = text.ASCIIEmail(strings.TrimSpace(s))
	bad := errs.InvalidField("body.email", "must be an email address such as ann@example.org")
	if s == "" || len(s) > EmailMax || strings.ContainsFunc(s,
		func(r rune) bool { return r > unicode.MaxASCII || r <= ' ' }) {
		return "", bad
	}
	// A display name, a comment or a quoted local part parses too, but into something other than what was given.
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || a.Name != "" {
		return "", bad
	}
	return strings.ToLower(s), nil
}

// name is the rule for a person's name.
var name = text.Rule{Min: 1, Max: NameMax, Name: true}

// NormalizeName tidies a person's name and checks it; see text.Rule.
func NormalizeName(s string) (string, error) { return name.Field("body.name", s) }

// checkPassword applies the rules for a new password (NIST SP 800-63B, 5.1.1.2: length and a list of common ones, no
// composition rules). path names the field in the answer.
func checkPassword(path, password, email, name string) error {
	n := utf8.RuneCountInString(password)
	switch {
	case n < auth.PasswordMin || n > auth.PasswordMax:
		return errs.InvalidField(path, "must have 10 to 128 characters")
	case !text.Storable(password):
		return errs.InvalidField(path, text.ErrNotStorable.Error())
	}
	lower := strings.ToLower(strings.TrimSpace(password))
	local, _, _ := strings.Cut(email, "@")
	switch {
	case lower == email, lower == local, lower == strings.ToLower(name):
		return errs.InvalidField(path, "must not be your email address or your name")
	case commonest(lower):
		return errs.InvalidField(path, "is too common and easy to guess")
	}
	return nil
}

// commonPasswords are the most common ones that are long enough to pass the length rule.
var commonPasswords = []string{
	"0123456789", "0987654321", "1234567890", "12345678910", "123456789a", "1234567891", "123qweasdzxc",
	"1q2w3e4r5t", "1q2w3e4r5t6y", "1qaz2wsx3edc", "9876543210", "abc1234567", "abcdefghij", "administrator",
	"asdfghjkl1", "asdfghjkl123", "basketball", "changeme123", "iloveyou123", "letmein123", "password01",
	"password11", "password12", "password123", "password1234", "passw0rd123", "p@ssw0rd123", "q1w2e3r4t5",
	"q1w2e3r4t5y6", "qazwsxedcrfv", "qwerty1234", "qwerty12345", "qwerty123456", "qwertyuiop", "qwertyuiop123",
	"test123456", "welcome123", "welcome1234", "zaq12wsxcde3", "zxcvbnm123",
}

func commonest(lower string) bool {
	if slices.Contains(commonPasswords, lower) {
		return true
	}
	// "aaaaaaaaaa" and "1212121212" are on every list, in every length.
	different := map[rune]bool{}
	for _, r := range lower {
		different[r] = true
	}
	return len(different) < 3
}
