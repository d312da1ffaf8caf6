package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
)

// Profiles makes what other rooms keep about a user. What is there already stays as it is.
type Profiles interface {
	// CreatePatient makes a user's entry in the patient registry.
	CreatePatient(ctx context.Context, tx *postgres.Tx, userID int64, d PatientDetails) error
	// KeepSignup keeps what a new user tells of himself until somebody of the clinic makes his entry.
	KeepSignup(ctx context.Context, tx *postgres.Tx, userID int64, d PatientDetails) error
	// CreateDoctor makes a user's doctor profile, still empty.
	CreateDoctor(ctx context.Context, tx *postgres.Tx, userID int64) error
}

// Doctors knows what a doctor still has to do.
type Doctors interface {
	// Release lets a doctor go: it refuses with 409 future_appointments while he has live ones, unless they may
	// be cancelled or handed over to a doctor (a public id, "" for nobody), which it then does, with notice. It is called
	// last in its transaction.
	Release(ctx context.Context, tx *postgres.Tx, doctorID int64, by auth.Actor, cancelAppointments bool, handOverTo string) error
	// Return takes back what Release closed, as far as it still can be, when somebody is a doctor again. It is called last
	// in its transaction.
	Return(ctx context.Context, tx *postgres.Tx, doctorID int64) error
}

// Mail writes to people about their accounts. Each method only arranges for the mail, in the transaction that causes
// it: there is none if that rolls back. Tokens are secrets.
type Mail interface {
	// Invitation tells a user without a password how to choose one.
	Invitation(ctx context.Context, tx *postgres.Tx, userID int64, token string, expires time.Time) error
	// PasswordReset tells a user how to choose another password.
	PasswordReset(ctx context.Context, tx *postgres.Tx, userID int64, token string, expires time.Time) error
	// VerifyEmail goes to address, which is or may become the user's, and asks whether he reads mail there.
	VerifyEmail(ctx context.Context, tx *postgres.Tx, userID int64, address, token string, expires time.Time) error
	// EmailChanged warns at oldAddress: when a change is asked for, while it still is the user's address, and again
	// when it has been replaced. The new one is not for its reader.
	EmailChanged(ctx context.Context, tx *postgres.Tx, userID int64, oldAddress string) error
}

// Ports is what the other rooms do for this one.
type Ports struct {
	Profiles Profiles
	Doctors  Doctors
	Mail     Mail
}

// hasher is what this room needs of auth.Passwords.
type hasher interface {
	Hash(ctx context.Context, password string) (string, error)
	Matches(ctx context.Context, password, encoded string) (bool, error)
}

var (
	_ hasher              = (*auth.Passwords)(nil)
	_ httpd.Authenticator = (*Service)(nil)
)

// Service is the only door to accounts.
type Service struct {
	pool       *postgres.Pool
	tokens     *auth.Tokens
	passwords  hasher
	limiter    ratelimit.Limiter
	cfg        config.Config
	now        func() time.Time
	ports      Ports
	successors successors
	forgotPace time.Duration // the constant, but for tests

	hooksMu sync.Mutex // guards hooks
	hooks   []func(sessions []int64)
}

// New makes the service. Connect it before it serves.
func New(pool *postgres.Pool, tokens *auth.Tokens, passwords *auth.Passwords, limiter ratelimit.Limiter, cfg config.Config,
	now func() time.Time,
) (*Service, error) {
	keys, err := deriveSuccessors(cfg.Secrets())
	if err != nil {
		return nil, err
	}
	return &Service{
		pool: pool, tokens: tokens, passwords: passwords, limiter: limiter, cfg: cfg, now: now, successors: keys,
		forgotPace: forgotPace,
	}, nil
}

// Connect gives the service the rooms it depends on. They in turn may need the service, so it comes after New.
func (s *Service) Connect(p Ports) { s.ports = p }

// Registration is what a patient tells to get an account.
type Registration struct {
	Name, Email, Password string
	Details               PatientDetails
	// Unregistered leaves the entry in the registry to the clinic, as the older PMS API has it.
	Unregistered bool
}

// Register makes an account for a patient, with his entry in the registry unless that is left to the clinic, and has him
// verify his address by mail. ErrEmailTaken where there is one; 429 after too many from the client's address.
func (s *Service) Register(ctx context.Context, r Registration, client httpd.Client) (User, error) {
	u, err := newUser(r.Name, r.Email, auth.Patient)
	if err != nil {
		return User{}, err
	}
	if err := checkPassword("body.password", r.Password, u.Email, u.Name); err != nil {
		return User{}, err
	}
	if err := s.allow(ctx, "register:"+network(client.Address), s.cfg.RegistersPerAddress, time.Hour); err != nil {
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
		enter := s.ports.Profiles.CreatePatient
		if r.Unregistered {
			enter = s.ports.Profiles.KeepSignup
		}
		if err := enter(ctx, tx, made.ID, r.Details); err != nil {
			return fmt.Errorf("enter %s into the registry: %w", made.PublicID, err)
		}
		u = made
		if err := record(ctx, tx, actorOf(made, 0), "user.register", made, nil); err != nil {
			return err
		}
		return s.sendVerification(ctx, tx, made, made.Email, 0)
	})
	return u, err
}

// CreateAdmin makes an administrator who can sign in at once, for the command line.
func (s *Service) CreateAdmin(ctx context.Context, name, email, password string) (u User, err error) {
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		u, err = s.CreateWithPassword(ctx, tx, name, email, auth.Admin, password)
		return err
	})
	return u, err
}

// CreateWithPassword makes a user of any role who can sign in at once, with the profile his role needs. It is for
// the operator's own hand: the command line and demo data. The operator vouches for the address: it counts as verified.
func (s *Service) CreateWithPassword(ctx context.Context, tx *postgres.Tx, name, email string, role auth.Role, password string) (User, error) {
	u, err := newUser(name, email, role)
	if err != nil {
		return User{}, err
	}
	if err := checkPassword("body.password", password, u.Email, u.Name); err != nil {
		return User{}, err
	}
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	u.EmailVerified = true
	if u, err = insertNew(ctx, tx, u, hash); err != nil {
		return User{}, err
	}
	if err := s.ensureProfile(ctx, tx, u.ID, role); err != nil {
		return User{}, err
	}
	return u, record(ctx, tx, auth.System, "user.create", u, map[string]any{"role": role})
}

// FindByEmail gives the user with an address, errs.NotFound where there is none.
func (s *Service) FindByEmail(ctx context.Context, db postgres.DB, email string) (User, error) {
	email, err := NormalizeEmail(email)
	if err != nil {
		return User{}, err
	}
	return userByEmail(ctx, db, email)
}

// Contact gives what it takes to write to a user, errs.NotFound where there is none.
func (s *Service) Contact(ctx context.Context, db postgres.DB, userID int64) (Contact, error) {
	u, err := userByID(ctx, db, userID)
	return Contact{ID: u.ID, Name: u.Name, Email: u.Email, Verified: u.EmailVerified, Active: err == nil && u.DisabledAt == nil}, err
}

// ensureProfile makes what the other rooms keep about a user of a role. An administrator needs nothing.
func (s *Service) ensureProfile(ctx context.Context, tx *postgres.Tx, userID int64, role auth.Role) error {
	switch role {
	case auth.Patient:
		return s.ports.Profiles.CreatePatient(ctx, tx, userID, PatientDetails{})
	case auth.Doctor:
		return s.ports.Profiles.CreateDoctor(ctx, tx, userID)
	default:
		return nil
	}
}

// newUser checks what a new account is made of.
func newUser(name, email string, role auth.Role) (User, error) {
	if !role.Valid() {
		return User{}, errs.InvalidField("body.role", "must be PATIENT, DOCTOR or ADMIN")
	}
	address, emailErr := NormalizeEmail(email)
	name, nameErr := NormalizeName(name)
	if err := both(emailErr, nameErr); err != nil {
		return User{}, err
	}
	return User{Email: address, Name: name, Role: role}, nil
}

// both answers about all bad fields at once.
func both(problems ...error) error {
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

// actorOf is the user acting for himself.
func actorOf(u User, session int64) auth.Actor {
	return auth.Actor{
		ID: u.ID, UserID: u.PublicID, Name: u.Name, Role: u.Role, Session: session, MustChangePassword: u.MustChangePassword,
	}
}

// record audits something done to a user.
func record(ctx context.Context, tx *postgres.Tx, by auth.Actor, action string, u User, detail map[string]any) error {
	e := audit.Event{Actor: by, Action: action, Subject: u.PublicID, Detail: detail}
	if u.Role == auth.Patient {
		e.PatientID = u.ID
	}
	return audit.Record(ctx, tx, e)
}

// newSecret makes an unguessable token of 256 bits.
func newSecret() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// fingerprint is what is stored of a token. The token has 256 random bits, so a plain hash is enough.
func fingerprint(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
