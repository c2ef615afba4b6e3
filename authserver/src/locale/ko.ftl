# 모든 페이지의 글. `en.ftl`과 키가 같아야 합니다: 테스트가 비교합니다.

app-name = 해태
language-label = 언어
language-other = English
skip-to-content = 본문으로 건너뛰기
footer-note = 해태가 문을 지킵니다. 한 번 로그인하면 모든 문이 열립니다.
back-to-account = 내 계정으로 돌아가기
cancel = 취소
optional = 선택
show-password = 비밀번호 보기
copy = 복사
copied = 복사했습니다

problem-summary = 아래 항목을 확인해 주세요.
problem-form-expired = 이 양식이 너무 오래 열려 있었거나 브라우저가 쿠키를 막고 있습니다. 다시 시도해 주세요.

field-username = 아이디
field-password = 비밀번호
field-password-new = 새 비밀번호
field-password-again = 새 비밀번호 확인
field-password-current = 현재 비밀번호
field-password-confirm = 비밀번호 확인
field-display-name = 이름
field-email = 이메일
field-code = 6자리 인증 코드
field-recovery-code = 복구 코드

login-title = 로그인
login-lead = 계속하려면 로그인하세요.
login-lead-client = { $client } 이용을 위해 로그인하세요.
login-again-title = 본인이 맞나요?
login-again-lead = { $name } 님으로 로그인되어 있습니다. 계속하려면 비밀번호를 입력하세요.
login-submit = 로그인
login-confirm = 계속
login-failed = 아이디 또는 비밀번호가 올바르지 않습니다.
login-throttled = 시도 횟수가 너무 많습니다. { $wait } 뒤에 다시 시도해 주세요.
login-no-account = 처음이신가요?
login-register = 계정 만들기
onward-title = 잠시만요
onward-text = { $client } 앱으로 이동하고 있습니다 …
onward-link = 계속
wait-seconds = { $count }초
wait-minutes = { $count }분

mfa-title = 2단계 인증
mfa-lead = 인증 앱을 열고 해태(Haetae) 항목의 코드를 입력하세요.
mfa-hint = 코드는 30초마다 바뀌며 한 번만 쓸 수 있습니다.
mfa-submit = 계속
mfa-failed = 코드가 올바르지 않거나 이미 사용되었습니다. 다음 코드를 기다렸다가 다시 입력해 주세요.
mfa-use-recovery = 복구 코드로 로그인
mfa-use-code = 인증 앱의 코드로 로그인
mfa-start-over = 다른 계정으로 다시 시작
recovery-title = 복구 코드
recovery-lead = 2단계 인증을 켤 때 보관해 둔 복구 코드 중 하나를 입력하세요.
recovery-hint = 영문자와 숫자 16자리입니다. 코드마다 한 번만 쓸 수 있습니다.
recovery-failed = 복구 코드가 올바르지 않거나 이미 사용되었습니다.

register-title = 계정 만들기
register-lead = 계정 하나로 이 문 너머의 모든 서비스를 이용하세요.
register-lead-client = { $client } 이용을 위해 계정을 만드세요.
register-submit = 계정 만들기
register-have-account = 이미 계정이 있나요?
register-sign-in = 로그인
register-username-hint = 영문자, 숫자와 . _ - + @ 로 2~64자. 로그인할 때 사용합니다.
register-password-hint = { $length }자 이상. 복잡한 단어 하나보다 흔하지 않은 단어 여러 개가 더 안전합니다.
register-closed-title = 회원 가입이 닫혀 있습니다
register-closed-text = 이곳에서는 관리자가 계정을 만들어 드립니다.

error-username-required = 아이디를 입력하세요.
error-username-length = 아이디는 2~64자여야 합니다.
error-username-character = 영문자, 숫자와 . _ - + @ 만 쓸 수 있으며 영문자나 숫자로 시작해야 합니다.
error-username-taken = 이미 사용 중인 아이디입니다. 다른 아이디를 쓰거나, 본인의 아이디라면 로그인하세요.
error-display-name-required = 불러 드릴 이름을 입력하세요.
error-display-name-length = 이름은 80자까지 쓸 수 있습니다.
error-display-name-character = 이름에 표시할 수 없는 문자가 있습니다.
error-email-invalid = 이메일 주소 형식이 아닙니다.
error-password-required = 비밀번호를 입력하세요.
error-password-short = { $length }자 이상 입력하세요.
error-password-long = 비밀번호가 1024바이트보다 깁니다.
error-password-common = 많은 사람이 쓰는 비밀번호라 가장 먼저 추측당합니다. 다른 비밀번호를 쓰세요.
error-password-username = 비밀번호에 아이디가 들어 있습니다. 다른 비밀번호를 쓰세요.
error-password-mismatch = 두 비밀번호가 서로 다릅니다.
error-password-wrong = 현재 비밀번호가 아닙니다.
error-password-same = 지금 쓰는 비밀번호입니다. 다른 비밀번호를 쓰세요.
error-code-wrong = 코드가 올바르지 않습니다. 휴대전화의 시각을 확인하고 가장 새로운 코드를 입력하세요.

consent-title = { $client }의 접근 요청
consent-lead = { $client }에서 다음 권한을 요청합니다.
consent-account = { $name } 님으로 로그인되어 있습니다.
consent-redirect = 이후 이동할 곳: { $host }
consent-allow = 허용
consent-deny = 허용하지 않음
consent-remember = 한 번만 묻습니다. 내 계정 페이지에서 언제든 취소할 수 있습니다.
scope-openid = 본인임을 확인
scope-profile = 이름과 아이디 보기
scope-email = 이메일 주소 보기
scope-address = 주소 보기
scope-phone = 전화번호 보기
scope-offline-access = 취소할 때까지, 자리를 비운 동안에도 접근 유지
scope-reservations-read = 내 예약 보기
scope-reservations-write = 나를 대신해 예약, 확정, 취소하기
scope-inventory-write = 재고 변경하기
scope-other = { $scope }

logout-title = 로그아웃할까요?
logout-lead = { $name } 님으로 로그인되어 있습니다. 이 세션으로 연 모든 앱에서 로그아웃됩니다.
logout-lead-client = { $client }에서 로그아웃을 요청했습니다. 이 세션으로 연 모든 앱에서 로그아웃됩니다.
logout-submit = 로그아웃
logout-stay = 로그인 유지
signed-out-title = 로그아웃되었습니다
signed-out-text = 세션이 끝났습니다. 이 창을 닫아도 됩니다.
signed-out-again = 다시 로그인

account-title = 내 계정
account-lead = 로그인과 기기, 보안을 관리합니다.
account-profile = 프로필
account-username = 아이디
account-name = 이름
account-email = 이메일
account-email-none = 없음
account-member-since = 가입일
account-security = 보안
account-password = 비밀번호
account-password-text = 바꾸면 다른 기기에서 로그아웃됩니다.
account-password-change = 비밀번호 변경
account-totp = 2단계 인증
account-totp-on = 켜짐
account-totp-off = 꺼짐
account-totp-off-text = 비밀번호와 함께 휴대전화의 코드를 확인합니다. 비밀번호를 도둑맞아도 문은 열리지 않습니다.
account-totp-on-text = { $date }부터 인증 앱의 코드를 확인하고 있습니다.
account-totp-enable = 켜기
account-totp-disable = 끄기
account-recovery = 복구 코드
account-recovery-left = { $count ->
    [0] 남은 코드가 없습니다. 지금 새로 만들지 않으면 휴대전화를 잃어버렸을 때 로그인할 수 없습니다.
    [1] 한 개 남았습니다. 곧 새로 만드세요.
   *[other] { $count }개 남았습니다.
}
account-recovery-renew = 새 코드 만들기
account-sessions = 로그인된 기기
account-session-this = 현재 기기
account-session-since = { $date } 로그인
account-session-seen = { $date } 마지막 사용
account-session-address = { $address }
account-session-unknown = 알 수 없는 기기
account-session-end = 로그아웃
account-sign-out-everywhere = 모든 기기에서 로그아웃
account-sign-out-everywhere-text = 이 기기를 포함한 모든 기기의 세션과 그 세션으로 발급된 모든 토큰이 끝납니다.
account-applications = 접근을 허용한 앱
account-application-since = { $date } 허용
account-application-revoke = 허용 취소

notice-password-changed = 비밀번호를 바꾸고 다른 기기에서 로그아웃했습니다.
notice-totp-enabled = 2단계 인증을 켰습니다.
notice-totp-disabled = 2단계 인증을 껐습니다.
notice-session-ended = 그 기기에서 로그아웃했습니다.
notice-application-revoked = 그 앱의 접근을 취소했습니다.

password-title = 비밀번호 변경
password-lead = 변경하면 다른 기기에서 로그아웃됩니다.
password-submit = 비밀번호 변경

totp-title = 2단계 인증 켜기
totp-lead = 휴대전화에 Aegis, 2FAS, Google Authenticator, Microsoft Authenticator 같은 인증 앱이 필요합니다.
totp-step-scan = 앱으로 이 그림을 스캔하세요
totp-qr-label = 인증 앱의 키가 담긴 QR 코드
totp-open-app = 이 기기에 인증 앱이 있나요? 앱에 바로 추가하기
totp-step-text = 스캔할 수 없나요? 앱에 이 키를 입력하세요
totp-step-code = 앱에 보이는 6자리 코드를 입력하세요
totp-submit = 켜기
totp-refuse = 설정하지 않고 { $client } 앱으로 돌아가기
totp-required-lead = { $client }에서 2단계 인증을 요구합니다. 한 번만 설정하면 계속할 수 있습니다.

totp-off-title = 2단계 인증을 끌까요?
totp-off-lead = 비밀번호만으로 계정이 열리게 되며, 복구 코드는 더 이상 쓸 수 없습니다.
totp-off-code-hint = 본인 확인을 위해 앱의 코드를 입력하세요.
totp-off-submit = 끄기

codes-title = 복구 코드
codes-lead = 여분의 열쇠처럼 종이에 적거나 비밀번호 관리자에 보관하세요. 휴대전화를 잃어버렸을 때 코드마다 한 번씩 로그인할 수 있습니다.
codes-once = 지금 한 번만 보여 드립니다.
codes-done = 보관했습니다
codes-renew-title = 새 복구 코드
codes-renew-lead = 지금 가지고 있는 코드는 더 이상 쓸 수 없게 됩니다.
codes-renew-submit = 새 코드 만들기

everywhere-title = 모든 기기에서 로그아웃할까요?
everywhere-lead = 이 기기를 포함한 모든 기기의 세션이 끝나고, 그 세션으로 허용된 모든 접근도 끝납니다.
everywhere-submit = 모든 기기에서 로그아웃

error-title = 처리하지 못했습니다
error-what-now = 이용하던 앱으로 돌아가 처음부터 다시 시도해 주세요.
error-reference = 문의 번호
error-code = 코드
error-home = 첫 페이지로
error-busy-title = 지금은 이용자가 많습니다
error-busy-text = 한꺼번에 너무 많은 분이 로그인하고 있습니다. 잠시 뒤에 다시 시도해 주세요.
error-unavailable-title = 지금은 이용할 수 없습니다
error-unavailable-text = 필요한 시스템이 응답하지 않습니다. 사라진 것은 없으니 잠시 뒤에 다시 시도해 주세요.
error-not-found-title = 페이지가 없습니다
error-not-found-text = 주소가 잘못되었거나 페이지가 옮겨졌습니다.
error-forbidden-title = 허용되지 않은 요청입니다
error-forbidden-text = 저희 페이지에서 보낸 요청이 아니어서 아무것도 하지 않았습니다.
error-throttled-title = 시도 횟수가 너무 많습니다
error-throttled-text = 계정을 지키기 위해 이 속도로는 누구도 시도할 수 없습니다. { $wait } 뒤에 다시 시도해 주세요.
error-internal-title = 문제가 생겼습니다
error-internal-text = 저희 쪽의 오류이며 기록해 두었습니다. 다시 시도해 주세요.
error-expired-title = 로그인 요청이 만료되었습니다
error-expired-text = 너무 오래 열려 있었거나 다른 창에서 이미 끝났습니다. 이용하던 앱으로 돌아가 다시 시작해 주세요.
error-invalid-request-title = 앱이 잘못된 요청을 보냈습니다
error-retry = 다시 시도
