package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
)

// Profiles creates what other packages store about a user. Whatever already exists stays as it is.
type Profiles interface {
	// CreatePatient creates a user's entry in the patient registry.
	CreatePatient(ctx context.Context, tx *postgres.Tx, by auth.Actor, userID int64, d PatientDetails) error
	// CheckPatient returns all fields of a new entry that the registry refuses, as one errs.Invalid.
	CheckPatient(d PatientDetails) error
	// KeepSignup stores what new users say about themselves until they are in the registry.
	KeepSignup(ctx context.Context, tx *postgres.Tx, userID int64, d PatientDetails) error
	// CreateDoctor creates a user's doctor profile, still empty.
	CreateDoctor(ctx context.Context, tx *postgres.Tx, userID int64) error
}

// Doctors deals with the appointments and conversations of users who stop being doctors or become doctors again.
type Doctors interface {
	// Release prepares a doctor's departure: it refuses with 409 future_appointments while there are any, unless d says
	// to cancel them or to hand them over. Then it does so and notifies everyone concerned. Call it last in its
	// transaction.
	Release(ctx context.Context, tx *postgres.Tx, d auth.Departure) error
	// Return reopens what Release closed, as far as that is still possible, when the user is a doctor again. Call it last
	// in its transaction.
	Return(ctx context.Context, tx *postgres.Tx, doctorID int64) error
}

// Mail writes to people about their accounts. Each method only queues the email, in the transaction that causes it: if
// that rolls back, no email is sent. Links are secrets.
type Mail interface {
	// Invitation tells a user without a password how to choose one.
	Invitation(ctx context.Context, tx *postgres.Tx, userID int64, l auth.Link) error
	// Enrolled tells a user with a generated password who they are here, and how to choose one of their own.
	Enrolled(ctx context.Context, tx *postgres.Tx, userID int64, l auth.Link) error
	// PasswordReset tells a user how to choose another password.
	PasswordReset(ctx context.Context, tx *postgres.Tx, userID int64, l auth.Link) error
	// VerifyEmail goes to address, which is or may become the user's, and asks them to confirm that it is theirs.
	VerifyEmail(ctx context.Context, tx *postgres.Tx, userID int64, address string, l auth.Link) error
	// EmailChanged warns oldAddress: when a change is requested, while it still is the user's address, and again once it
	// has been replaced. It does not reveal the new address.
	EmailChanged(ctx context.Context, tx *postgres.Tx, userID int64, oldAddress string) error
}

// Listener learns which sessions have ended.
type Listener interface {
	// SessionsEnded is called after each commit that ended sessions on this instance. It must not block. Other instances
	// learn of them through EndedSessions.
	SessionsEnded(sessions []int64)
}

// Ports are the services that this package needs from packages that depend on it.
type Ports struct {
	Profiles Profiles
	Doctors  Doctors
	Mail     Mail
	Listener Listener // nil: nobody
}

// Options are the configured values.
type Options struct {
	// Secrets derive the refresh tokens; the first is the current one, the others are older.
	Secrets [][]byte
	// RefreshTTL is how long a session lives without being refreshed; LegacyTTL is how long one of an older API lives.
	RefreshTTL, LegacyTTL time.Duration
	// InviteTTL, VerifyTTL and ResetTTL are how long the links in emails work.
	InviteTTL, VerifyTTL, ResetTTL time.Duration
	// RequestTimeout is the deadline of one request.
	RequestTimeout time.Duration
	// LoginsPerAccount is how many sign-in attempts one address has for one account in 15 minutes, LoginsPerAddress how
	// many wrong ones it has for all accounts together.
	LoginsPerAccount, LoginsPerAddress int
	// RegistersPerAddress is how many accounts can be registered from one address in an hour.
	RegistersPerAddress int
}

// Deps are what a Service needs.
type Deps struct {
	Pool      *postgres.Pool
	Tokens    *auth.Tokens
	Passwords *auth.Passwords
	Limiter   ratelimit.Limiter
	Now       func() time.Time
	Options   Options
}

// hasher is what this package needs from auth.Passwords.
type hasher interface {
	Hash(ctx context.Context, password string) (string, error)
	Matches(ctx context.Context, password, encoded string) (bool, error)
}

var (
	_ hasher              = (*auth.Passwords)(nil)
	_ httpd.Authenticator = (*Service)(nil)
)

// Service is the only way to read and change accounts.
type Service struct {
	pool       *postgres.Pool
	tokens     *auth.Tokens
	passwords  hasher
	limiter    ratelimit.Limiter
	options    Options
	now        func() time.Time
	ports      Ports
	successors successors
	turns      turns
	forgotPace time.Duration // the constant, except in tests
}

// New makes the service. Connect it before it serves.
func New(d Deps) (*Service, error) {
	keys, err := deriveSuccessors(d.Options.Secrets)
	if err != nil {
		return nil, err
	}
	return &Service{
		pool: d.Pool, tokens: d.Tokens, passwords: d.Passwords, limiter: d.Limiter, options: d.Options, now: d.Now,
		successors: keys, turns: turns{all: map[string]*turn{}}, forgotPace: forgotPace,
	}, nil
}

// Connect passes in the packages that both need the service and are needed by it. Call it after New.
func (s *Service) Connect(p Ports) { s.ports = p }

// Registration is what patients provide to get an account.
type Registration struct {
	Name, Email, Password string
	Details               PatientDetails
	// Unregistered leaves the entry in the patient registry to the clinic or the first booking, as the older PMS API does.
	Unregistered bool
}

// Register creates an account for a patient, with an entry in the registry unless that is left for later, and
// emails a link that verifies the address. ErrEmailTaken if the address has an account; 429 after too many
// registrations from the client's address.
func (s *Service) Register(ctx context.Context, r Registration, client httpd.Client) (User, error) {
	if err := s.CheckRegistration(r); err != nil {
		return User{}, err
	}
	u, err := newUser(r.Name, r.Email, auth.Patient)
	if err != nil {
		return User{}, err
	}
	if err := s.throttle(ctx, "register:"+network(client.Address), s.options.RegistersPerAddress, time.Hour); err != nil {
		return User{}, err
	}
	hash, err := s.passwords.Hash(ctx, r.Password)
	if err != nil {
		return User{}, err
	}
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		made, err := insertNew(ctx, tx, u, hash)
		if err != nil {
			return err
		}
		if r.Unregistered {
			err = s.ports.Profiles.KeepSignup(ctx, tx, made.ID, r.Details)
		} else {
			err = s.ports.Profiles.CreatePatient(ctx, tx, actorOf(made, 0), made.ID, r.Details)
		}
		if err != nil {
			return fmt.Errorf("enter %s into the registry: %w", made.PublicID, err)
		}
		u = made
		if err := audit.Record(ctx, tx, event(actorOf(made, 0), "user.register", made, nil)); err != nil {
			return err
		}
		return s.sendVerification(ctx, tx, made, made.Email, 0)
	})
	return u, err
}

// CheckRegistration returns everything that is wrong with what a patient entered, so that they need not correct one
// field at a time; nil if Register would take it. Whether the address has an account, only Register tells.
func (s *Service) CheckRegistration(r Registration) error {
	address, emailErr := NormalizeEmail(r.Email)
	name, nameErr := NormalizeName(r.Name)
	return allFields(emailErr, nameErr, checkPassword("body.password", r.Password, address, name),
		s.ports.Profiles.CheckPatient(r.Details))
}

// CreateAdmin creates an administrator who can sign in at once. It is for the command line.
func (s *Service) CreateAdmin(ctx context.Context, name, email, password string) (u User, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		u, err = s.CreateWithPassword(ctx, tx, NewUser{Name: name, Email: email, Role: auth.Admin, Password: password})
		return err
	})
	return u, err
}

// NewUser is a user whom the operator creates.
type NewUser struct {
	Name, Email, Password string
	Role                  auth.Role
}

// CreateWithPassword creates a user of any role who can sign in at once, with the profile that the role needs. Only
// the operator uses it: on the command line and for demo data. The operator vouches for the address, so it counts as
// verified.
func (s *Service) CreateWithPassword(ctx context.Context, tx *postgres.Tx, n NewUser) (User, error) {
	u, err := newUser(n.Name, n.Email, n.Role)
	if err != nil {
		return User{}, err
	}
	if err := checkPassword("body.password", n.Password, u.Email, u.Name); err != nil {
		return User{}, err
	}
	hash, err := s.passwords.Hash(ctx, n.Password)
	if err != nil {
		return User{}, err
	}
	u.EmailVerified = true
	if u, err = insertNew(ctx, tx, u, hash); err != nil {
		return User{}, err
	}
	if err := s.ensureProfile(ctx, tx, auth.System, u.ID, n.Role); err != nil {
		return User{}, err
	}
	return u, audit.Record(ctx, tx, event(auth.System, "user.create", u, map[string]any{"role": n.Role}))
}

// FindByEmail returns the user with an address; errs.NotFound if there is none.
func (s *Service) FindByEmail(ctx context.Context, db postgres.DB, email string) (User, error) {
	email, err := NormalizeEmail(email)
	if err != nil {
		return User{}, err
	}
	return userByEmail(ctx, db, email)
}

// Contact returns what is needed to write to a user; errs.NotFound if there is none.
func (s *Service) Contact(ctx context.Context, db postgres.DB, userID int64) (Contact, error) {
	u, err := userByID(ctx, db, userID)
	return Contact{
		ID: u.ID, PublicID: u.PublicID, Name: u.Name, Email: u.Email, Verified: u.EmailVerified,
		Active: err == nil && u.DisabledAt == nil,
	}, err
}

// ensureProfile creates what other packages store about a user with a role. Administrators need nothing.
func (s *Service) ensureProfile(
	ctx context.Context, tx *postgres.Tx, by auth.Actor, userID int64, role auth.Role,
) error {
	switch role {
	case auth.Patient:
		return s.ports.Profiles.CreatePatient(ctx, tx, by, userID, PatientDetails{})
	case auth.Doctor:
		return s.ports.Profiles.CreateDoctor(ctx, tx, userID)
	default:
		return nil
	}
}

// newUser validates what describes a new account.
func newUser(name, email string, role auth.Role) (User, error) {
	if !role.Valid() {
		return User{}, errs.InvalidField("body.role", "must be PATIENT, DOCTOR or ADMIN")
	}
	address, emailErr := NormalizeEmail(email)
	name, nameErr := NormalizeName(name)
	if err := allFields(emailErr, nameErr); err != nil {
		return User{}, err
	}
	return User{Email: address, Name: name, Role: role}, nil
}

// allFields merges the bad fields of all problems into one error; nil if there are none.
func allFields(problems ...error) error {
	var fields []errs.Field
	for _, err := range problems {
		var e *errs.Error
		if errors.As(err, &e) {
			fields = append(fields, e.Fields...)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return errs.InvalidFields(fields...)
}

// insertNew stores a new user under a fresh public id.
func insertNew(ctx context.Context, tx *postgres.Tx, u User, hash string) (User, error) {
	for range 3 { // two ids of 50 random bits hardly ever collide, three times in a row never
		u.PublicID = auth.NewPublicID(auth.PrefixFor(u.Role))
		made, fresh, err := insertUser(ctx, tx, u, hash)
		if err != nil || fresh {
			return made, err
		}
	}
	return User{}, errors.New("no free public id")
}

// actorOf is the user acting on their own behalf.
func actorOf(u User, session int64) auth.Actor {
	return auth.Actor{
		ID: u.ID, UserID: u.PublicID, Name: u.Name, Role: u.Role, Session: session, MustChangePassword: u.MustChangePassword,
	}
}

// event is the audit row of something that was done to a user.
func event(by auth.Actor, action string, u User, detail map[string]any) audit.Event {
	e := audit.Event{Actor: by, Action: action, Subject: u.PublicID, Detail: detail}
	if u.Role == auth.Patient {
		e.PatientID = u.ID
	}
	return e
}
