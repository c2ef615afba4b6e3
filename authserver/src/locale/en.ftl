# Every text of the pages. `ko.ftl` has the same keys: a test compares them.

app-name = Haetae
language-label = Language
language-other = 한국어
skip-to-content = Skip to content
footer-note = Haetae keeps this gate, so that one sign-in opens every door.
back-to-account = Back to my account
cancel = Cancel
optional = optional
show-password = Show password
copy = Copy
copied = Copied

problem-summary = Please check the fields below.
problem-form-expired = This form was open for too long, or your browser blocks cookies. Please try again.

field-username = Username
field-password = Password
field-password-new = New password
field-password-again = New password, once more
field-password-current = Current password
field-password-confirm = Password, once more
field-display-name = Name
field-email = Email
field-code = Six-digit code
field-recovery-code = Recovery code

login-title = Sign in
login-lead = Sign in to continue.
login-lead-client = Sign in to continue to { $client }.
login-again-title = Is it still you?
login-again-lead = You are signed in as { $name }. Enter your password to go on.
login-submit = Sign in
login-confirm = Continue
login-failed = The username or the password is not right.
login-throttled = Too many attempts. Please wait { $wait } and try again.
login-no-account = New here?
login-register = Create an account
onward-title = One moment
onward-text = Taking you to { $client } …
onward-link = Continue
wait-seconds = { $count ->
    [one] one second
   *[other] { $count } seconds
}
wait-minutes = { $count ->
    [one] one minute
   *[other] { $count } minutes
}

mfa-title = Two-step sign-in
mfa-lead = Open your authenticator app and enter the code for Haetae.
mfa-hint = The code changes every 30 seconds and works once.
mfa-submit = Continue
mfa-failed = This code is not right, or it was used already. Wait for the next one and try again.
mfa-use-recovery = Use a recovery code instead
mfa-use-code = Use a code from the app instead
mfa-start-over = Start again with another account
recovery-title = Recovery code
recovery-lead = Enter one of the recovery codes that you kept when you turned two-step sign-in on.
recovery-hint = Sixteen letters and digits. Each code works once.
recovery-failed = This recovery code is not right, or it was used already.

register-title = Create an account
register-lead = One account for every service behind this gate.
register-lead-client = Create an account to continue to { $client }.
register-submit = Create account
register-have-account = Already have an account?
register-sign-in = Sign in
register-username-hint = 2 to 64 letters, digits and . _ - + @. You sign in with it.
register-password-hint = At least { $length } characters. A few unusual words are stronger than one complicated word.
register-closed-title = Registration is closed
register-closed-text = New accounts are made by an administrator here.

error-username-required = Enter a username.
error-username-length = A username has 2 to 64 characters.
error-username-character = Use letters, digits and . _ - + @ only, and begin with a letter or a digit.
error-username-taken = This username is taken. Choose another one, or sign in if it is yours.
error-display-name-required = Enter the name that we may call you by.
error-display-name-length = A name has at most 80 characters.
error-display-name-character = This name has a character that cannot be shown.
error-email-invalid = This does not look like an email address.
error-password-required = Enter a password.
error-password-short = Use at least { $length } characters.
error-password-long = This password is longer than 1024 bytes.
error-password-common = Many people use this password, so it is guessed first. Choose another one.
error-password-username = The password holds your username. Choose another one.
error-password-mismatch = The two passwords are not the same.
error-password-wrong = This is not your current password.
error-password-same = This is your current password. Choose another one.
error-code-wrong = This code is not right. Check the clock of your phone and enter the newest code.

consent-title = { $client } asks for access
consent-lead = { $client } would like to do this in your name:
consent-account = You are signed in as { $name }.
consent-redirect = Afterwards you go to { $host }.
consent-allow = Allow
consent-deny = Do not allow
consent-remember = We ask once. You can take the permission back on your account page.
scope-openid = Know that it is you
scope-profile = See your name and username
scope-email = See your email address
scope-address = See your postal address
scope-phone = See your phone number
scope-offline-access = Keep access while you are away, until you take it back
scope-reservations-read = See your reservations
scope-reservations-write = Make, confirm and cancel reservations for you
scope-inventory-write = Change the inventory
scope-other = { $scope }

logout-title = Sign out?
logout-lead = You are signed in as { $name }. This ends your session in every application that you opened with it.
logout-lead-client = { $client } asks to sign you out. This ends your session in every application that you opened with it.
logout-submit = Sign out
logout-stay = Stay signed in
signed-out-title = You are signed out
signed-out-text = Your session has ended. It is safe to close this window.
signed-out-again = Sign in again

account-title = My account
account-lead = Your sign-in, your devices, your security.
account-profile = Profile
account-username = Username
account-name = Name
account-email = Email
account-email-none = none
account-member-since = Here since
account-security = Security
account-password = Password
account-password-text = Changing it signs out your other devices.
account-password-change = Change password
account-totp = Two-step sign-in
account-totp-on = On
account-totp-off = Off
account-totp-off-text = A code from your phone as well as your password: a stolen password alone opens nothing.
account-totp-on-text = Since { $date } you are asked for a code from your authenticator app.
account-totp-enable = Turn on
account-totp-disable = Turn off
account-recovery = Recovery codes
account-recovery-left = { $count ->
    [0] None left. Make new ones now, or a lost phone locks you out.
    [one] One left. Make new ones soon.
   *[other] { $count } left.
}
account-recovery-renew = Make new codes
account-sessions = Where you are signed in
account-session-this = This device
account-session-since = Signed in { $date }
account-session-seen = Last seen { $date }
account-session-address = from { $address }
account-session-unknown = Unknown device
account-session-end = Sign out
account-sign-out-everywhere = Sign out everywhere
account-sign-out-everywhere-text = Ends every session on every device, this one too, and every token given out for them.
account-applications = Applications with access
account-application-since = Allowed { $date }
account-application-revoke = Take back

notice-password-changed = Your password is changed, and your other devices are signed out.
notice-totp-enabled = Two-step sign-in is on.
notice-totp-disabled = Two-step sign-in is off.
notice-session-ended = That device is signed out.
notice-application-revoked = That application has no access any more.

password-title = Change password
password-lead = Your other devices are signed out afterwards.
password-submit = Change password

totp-title = Turn on two-step sign-in
totp-lead = You need an authenticator app on your phone, such as Aegis, 2FAS, Google Authenticator or Microsoft Authenticator.
totp-step-scan = Scan this picture with the app
totp-qr-label = QR code that holds the key for your authenticator app
totp-open-app = Is the app on this device? Add the key to it
totp-step-text = Cannot scan it? Type this key into the app
totp-step-code = Enter the six-digit code that the app shows
totp-submit = Turn on
totp-refuse = Back to { $client } without it
totp-required-lead = { $client } asks for two-step sign-in. Set it up once, and you can go on.

totp-off-title = Turn off two-step sign-in?
totp-off-lead = Your password alone will open your account. Your recovery codes stop working.
totp-off-code-hint = A code from your app, to be sure that it is you.
totp-off-submit = Turn off

codes-title = Your recovery codes
codes-lead = Keep them where you would keep a spare key: on paper, or in a password manager. Each opens your account once when your phone is lost.
codes-once = They are shown this one time only.
codes-done = I have kept them
codes-renew-title = New recovery codes
codes-renew-lead = The codes that you have now stop working.
codes-renew-submit = Make new codes

everywhere-title = Sign out everywhere?
everywhere-lead = Every session on every device ends, this one too, and so does every access that was given out for them.
everywhere-submit = Sign out everywhere

error-title = This did not work
error-what-now = Go back to the application that you came from and try again from there.
error-reference = Reference
error-code = Code
error-home = To the start page
error-busy-title = Very busy just now
error-busy-text = More people want to sign in than we can let in at once. Please try again in a moment.
error-unavailable-title = Not available just now
error-unavailable-text = Something that we need does not answer. Nothing is lost: please try again in a moment.
error-not-found-title = There is nothing here
error-not-found-text = The address may have been mistyped, or the page has moved.
error-forbidden-title = Not allowed
error-forbidden-text = This request did not come from one of our pages, so we did nothing.
error-throttled-title = Too many attempts
error-throttled-text = To protect your account we let nobody try at this speed. Please wait { $wait }, then try again.
error-internal-title = Something went wrong
error-internal-text = The mistake is ours. We have noted it. Please try again.
error-expired-title = This sign-in has expired
error-expired-text = It was open for too long, or it was finished in another window. Go back to the application and begin again.
error-invalid-request-title = The application sent a wrong request
error-retry = Try again
