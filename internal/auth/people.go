package auth

// Newcomer is somebody who gets an account.
type Newcomer struct {
	Name, Email string
	Role        Role
}

// Account identifies an account: by its inner key, which is never shown outside, and by its public id.
type Account struct {
	ID       int64
	PublicID string
}

// Departure is a doctor who is about to stop being one, and what happens to their future appointments. Without
// CancelAppointments and HandOverTo there must be none.
type Departure struct {
	DoctorID           int64
	By                 Actor
	CancelAppointments bool
	HandOverTo         string // the public id of the doctor who takes over; "" for nobody
}
