//! Names that speak of secrets.

/// Names that mean a secret as a whole, letters and digits only.
const WHOLE: [&str; 16] = [
    "pin", "pan", "cvn", "csc", "sign", "sig", "pass", "pwd", "auth", "otp", "mac", "ssn", "iban",
    "track1", "track2", "paypass",
];

/// What a name may hold to mean one.
const PARTS: [&str; 25] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "authorization",
    "authcode",
    "cookie",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "signature",
    "cvv",
    "cvc",
    "cardnumber",
    "cardno",
    "cardnum",
    "accountnumber",
    "accountno",
    "bankcard",
    "idcard",
    "session",
    "jwt",
    "securitycode",
];

/// Whether a name of a member, field, element or header speaks of a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    WHOLE.contains(&plain.as_str()) || PARTS.iter().any(|part| plain.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names_in_any_spelling() {
        for name in [
            "access_token",
            "accessToken",
            "X-Api-Key",
            "PASSWORD",
            "card_number",
            "cardNo",
            "cvv2",
            "CVC",
            "pin",
            "sign",
            "auth_code",
            "Set-Cookie",
            "client-secret",
            "pan",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in
            ["status", "orderId", "amount", "company", "assignee", "design", "shipping", "author"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }
}
