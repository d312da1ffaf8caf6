package hms

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/account"
	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/patient"
	"housecall/internal/text"
)

// phoneDigits is how many digits the telephone number at registration has, however they are written.
const phoneDigits = 10

// errTaken refuses the address of an account at registration. The pages compare its message letter by letter.
var errTaken = errs.New(errs.BadRequest, account.ErrEmailTaken.Code, "User Already exists")

func (a api) register(c *fiber.Ctx) error {
	f, err := read(c)
	if err != nil {
		return err
	}
	r := account.Registration{Name: f.required("name"), Email: f.required("email"), Password: f.required("password")}
	r.Details.Phone = strings.TrimSpace(f.required("phoneNo"))
	if r.Details.Phone != "" && len(text.PhoneDigits(r.Details.Phone)) != phoneDigits {
		f.refuse("phoneNo", "must have 10 digits")
	}
	f.required("gender")
	if g := f.gender(); g != nil {
		r.Details.Gender = *g
	}
	f.required("age")
	r.Details.Age = f.number("age")
	if err := f.err(); err != nil {
		return err
	}
	u, err := a.Accounts.Register(c.UserContext(), r, httpd.ClientFrom(c.UserContext()))
	if errors.Is(err, account.ErrEmailTaken) {
		return errTaken
	}
	if err != nil {
		return err
	}
	body, err := a.userOf(c.UserContext(), actorOf(u), u)
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, "Patient registered Successfully", "user", body)
}

func (a api) login(c *fiber.Ctx) error {
	f, err := read(c)
	if err != nil {
		return err
	}
	login := f.text("userId")
	if login == "" {
		login = f.text("email")
	}
	if strings.TrimSpace(login) == "" {
		f.refuse("userId", "is required")
	}
	password := f.required("password")
	if err := f.err(); err != nil {
		return err
	}
	token, u, err := a.Accounts.LoginOlder(c.UserContext(), login, password, httpd.ClientFrom(c.UserContext()),
		auth.AudienceHMS)
	if err != nil {
		return err
	}
	body, err := a.userOf(c.UserContext(), actorOf(u), u)
	if err != nil {
		return err
	}
	return c.JSON(fiber.Map{"message": welcome(u.Role), "token": token, "user": body})
}

// welcome is the message of a sign-in. The pages go on only if they find it letter by letter.
func welcome(r auth.Role) string {
	if r == auth.Admin {
		return "Admin Login Successfully"
	}
	return "Login Successful"
}

func (a api) getUser(c *fiber.Ctx, by auth.Actor) error {
	return a.answerUser(c, by, "User fetched Successfully")
}

func (a api) answerUser(c *fiber.Ctx, by auth.Actor, message string) error {
	u, err := a.Accounts.Me(c.UserContext(), by)
	if err != nil {
		return err
	}
	body, err := a.userOf(c.UserContext(), by, u)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, message, "user", body)
}

func (a api) updatePassword(c *fiber.Ctx, by auth.Actor) error {
	f, err := read(c)
	if err != nil {
		return err
	}
	next := f.required("newPassword")
	if err := f.err(); err != nil {
		return err
	}
	if err := a.Accounts.ReplacePassword(c.UserContext(), by, next); err != nil {
		return err
	}
	return a.answerUser(c, by, "Password Updated Successfully")
}

// updateUser changes what was sent and nothing else. Since the change goes to two packages, it checks everything that
// can be refused before it changes anything.
func (a api) updateUser(c *fiber.Ctx, by auth.Actor) error {
	f, err := read(c)
	if err != nil {
		return err
	}
	wish := f.accountWish()
	phone, gender, age := f.maybe("phoneNo"), f.gender(), f.number("age")
	if err := f.err(); err != nil {
		return err
	}
	ctx := c.UserContext()
	me, err := a.begin(ctx, by, &wish)
	if err != nil {
		return err
	}
	switch by.Role {
	case auth.Patient:
		if phone != nil || gender != nil || age != nil {
			err = a.changeOwnEntry(ctx, by, patient.Change{Phone: phone, Gender: gender, Age: age})
		}
	case auth.Doctor:
		if phone != nil {
			_, err = a.changeProfile(ctx, by, doctor.Change{Phone: phone})
		}
	case auth.Admin: // has no profile
	}
	if err != nil {
		return err
	}
	if err := a.rename(ctx, by, me, wish.name); err != nil {
		return err
	}
	return a.answerUser(c, by, "User Updated Successfully"+wish.note())
}

// accountWish is what users want to change in their account; nil leaves it unchanged. password is their current one,
// which is required for a new email address.
type accountWish struct {
	name, email *string
	password    string
}

func (f *form) accountWish() accountWish {
	return accountWish{name: f.maybe("name"), email: f.maybe("email"), password: f.text("password")}
}

// note goes after the answer's message.
func (w accountWish) note() string {
	if w.email == nil {
		return ""
	}
	return ". The new email address takes effect once you have followed the link that was sent to it"
}

// errEmailChange refuses a new email address without the password: an unattended page must not be enough to take over
// the account.
var errEmailChange = errs.InvalidField("body.email",
	"can be changed only with your current password, sent as password")

// begin returns the actor's account, refuses an invalid name, and requests a new email address, which changes nothing
// yet. If the address is the current one, begin removes it from w.
func (a api) begin(ctx context.Context, by auth.Actor, w *accountWish) (account.User, error) {
	me, err := a.Accounts.Me(ctx, by)
	if err != nil {
		return account.User{}, err
	}
	if w.name != nil {
		if *w.name, err = account.NormalizeName(*w.name); err != nil {
			return account.User{}, err
		}
	}
	if w.email == nil {
		return me, nil
	}
	address, err := account.NormalizeEmail(*w.email)
	switch {
	case err != nil:
		return account.User{}, err
	case address == me.Email:
		w.email = nil
		return me, nil
	case w.password == "":
		return account.User{}, errEmailChange
	}
	if err := a.Accounts.ChangeEmail(ctx, by, w.password, address); err != nil {
		return account.User{}, err
	}
	return a.Accounts.Me(ctx, by) // the request has changed its version
}

// rename changes the name of an account that was just read, unless name is nil.
func (a api) rename(ctx context.Context, by auth.Actor, me account.User, name *string) error {
	if name == nil || *name == me.Name {
		return nil
	}
	_, err := a.Accounts.ChangeMe(ctx, by, me.Version, account.Change{Name: name})
	return err
}

func (a api) changeOwnEntry(ctx context.Context, by auth.Actor, change patient.Change) error {
	p, err := a.Patients.Get(ctx, by, by.UserID)
	if err != nil {
		return err
	}
	_, err = a.Patients.Change(ctx, by, by.UserID, p.Version, change)
	return err
}

func (a api) changeProfile(ctx context.Context, by auth.Actor, change doctor.Change) (doctor.Doctor, error) {
	d, err := a.Doctors.Get(ctx, by.UserID)
	if err != nil {
		return doctor.Doctor{}, err
	}
	return a.Doctors.Change(ctx, by, by.UserID, d.Version, change)
}
