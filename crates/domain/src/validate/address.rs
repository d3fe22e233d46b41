//! Addresses by which people are reached.

use events::identifier::is_invisible;
use events::values::Personal;

use super::Invalid;

/// Greatest length of an e-mail address (RFC 5321, 4.5.3.1.3, without the brackets).
const EMAIL_LENGTH_MAX: usize = 254;
/// Greatest length of what is before the `@` (RFC 5321, 4.5.3.1.1).
const EMAIL_LOCAL_LENGTH_MAX: usize = 64;

/// A telephone number, where there is one. What is sealed was checked when it was open.
///
/// # Errors
/// [`Invalid::Malformed`].
pub fn mobile(field: &str, mobile: Option<&Personal<String>>) -> Result<(), Invalid> {
    let Some(mobile) = mobile.and_then(Personal::expose) else { return Ok(()) };
    let digits = mobile.strip_prefix('+').unwrap_or_default();
    if (5..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    let expected = "a telephone number of the form +4712345678 (E.164)".to_owned();
    Err(Invalid::Malformed { field: field.to_owned(), expected })
}

/// An e-mail address, where there is one: a local part without quotes, and a domain of labels (RFC 5321, 4.1.2).
///
/// # Errors
/// [`Invalid::Malformed`].
pub fn email(field: &str, email: Option<&Personal<String>>) -> Result<(), Invalid> {
    let Some(email) = email.and_then(Personal::expose) else { return Ok(()) };
    let is_of_local = |character: char| character.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(character);
    let is_label = |label: &str| {
        let is_of_it = |character: char| character.is_alphanumeric() || character == '-';
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(is_of_it)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_address = email.rsplit_once('@').is_some_and(|(local, domain)| {
        (1..=EMAIL_LOCAL_LENGTH_MAX).contains(&local.len())
            && local.chars().all(is_of_local)
            && local.split('.').all(|part| !part.is_empty())
            && domain.split('.').all(is_label)
    });
    if is_address && email.len() <= EMAIL_LENGTH_MAX && !email.chars().any(is_invisible) {
        return Ok(());
    }
    let expected = "an e-mail address such as `nurse@hospital.example`".to_owned();
    Err(Invalid::Malformed { field: field.to_owned(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_at_and_nothing_that_ends_a_line() {
        let is_email = |text: &str| email("email", Some(&Personal::new(text.to_owned()))).is_ok();
        for good in ["a@b", "kari.nordmann+trial@sub.example.org", "søren@exämple.org"] {
            assert!(is_email(good), "{good}");
        }
        for wrong in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b..c",
            ".a@b",
            "a@-b",
            "a@b\r\nBcc: c@d",
            "\"a\"@b",
            "a@[127.0.0.1]",
            "<a@b>",
            "a@b,c@d",
        ] {
            assert!(!is_email(wrong), "{wrong:?}");
        }
    }
}
