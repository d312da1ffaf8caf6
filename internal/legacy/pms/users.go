package pms

import (
	"context"
	"errors"
	"net/http"

	"housecall/internal/account"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/patient"
)

// genders maps this API's numbers to genders.
var genders = map[string]string{"1": patient.GenderMale, "2": patient.GenderFemale, "3": patient.GenderOther}

// genderNumber returns the number of a gender; "" if it is unknown.
func genderNumber(gender string) string {
	for number, known := range genders {
		if known == gender {
			return number
		}
	}
	return ""
}

// userBody is a new user: staff use the number to register them as a patient.
type userBody struct {
	UserID int64  `json:"userId"`
	Name   string `json:"name"`
	Email  string `json:"email"`
	Role   int    `json:"role"`
}

// register makes a user with role 3.
func (a api) register(ctx context.Context, c call) (reply, error) {
	for _, name := range []string{"name", "email", "contact", "dateOfBirth", "gender", "address", "password"} {
		c.require(name)
	}
	born := c.date("dateOfBirth")
	gender, known := genders[c.text("gender")]
	if c.given("gender") && !known {
		c.complain("gender", "must be one of [1, 2, 3]")
	}
	r := account.Registration{
		Name: c.text("name"), Email: c.text("email"), Password: c.text("password"), Unregistered: true,
		Details: account.PatientDetails{
			Phone: c.text("contact"), Gender: gender, DateOfBirth: &born, Address: c.text("address"),
		},
	}
	c.addAll(a.Accounts.CheckRegistration(r))
	if err := c.err(); err != nil {
		return reply{}, err
	}
	u, err := a.Accounts.Register(ctx, r, c.client)
	if errors.Is(err, account.ErrEmailTaken) {
		// The old server answered this refusal, and only this one, as bad input.
		return reply{}, errs.New(errs.BadRequest, account.ErrEmailTaken.Code, "Already a registered user")
	}
	return reply{
		status: http.StatusCreated, message: "Please login, registration completed",
		data: userBody{UserID: u.ID, Name: u.Name, Email: u.Email, Role: account.RoleNumber(u.Role)},
	}, err
}

// addAll notes the bad fields of a registration. The old server took every day of birth for good input, and refused
// those that cannot be.
func (c call) addAll(err error) {
	for _, b := range badFields(err) {
		c.add(complaint{name: b.name, what: b.what, refusal: b.name == "dateOfBirth"})
	}
}

// login answers with a token. An unknown address and a wrong password get the same answer.
func (a api) login(ctx context.Context, c call) (reply, error) {
	c.require("email")
	c.require("password")
	email, password := c.text("email"), c.text("password")
	if err := c.err(); err != nil {
		return reply{}, err
	}
	token, _, err := a.Accounts.LoginOlder(ctx, email, password, c.client, auth.AudiencePMS)
	if errors.Is(err, account.ErrBadCredentials) {
		return reply{}, refusal("Wrong email address or password")
	}
	return reply{message: "Logged in successfully", data: map[string]string{"authToken": token}}, err
}

// updateRole changes somebody else's role, which ends their sessions.
func (a api) updateRole(ctx context.Context, c call) (reply, error) {
	c.require("id")
	c.require("role")
	id, number := c.id("id"), c.number("role", 3)
	if err := c.err(); err != nil {
		return reply{}, err
	}
	role, _ := account.RoleOfNumber(int(number))
	updated := reply{message: "User role updated successfully"}
	if id == c.actor.ID && role == c.actor.Role {
		return updated, nil // nobody may change their own role, but this changes nothing
	}
	u, err := a.find(ctx, id, sayNoUser)
	if err != nil {
		return reply{}, err
	}
	_, err = a.Accounts.SetRole(ctx, c.actor, u.PublicID, role, account.Leave{})
	return updated, err
}
