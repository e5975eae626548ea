//! The offline list of common passwords: what an attacker tries first.
//!
//! The list is the one inside the crate `passwords` (MIT licence, magiclen; feature
//! `common-password`): 99,838 passwords seen in published leaks, 47,324 of them long enough for
//! [`crate::passwords`]. It is compiled in; a release build looks it up by binary search, a debug
//! build reads through it (some milliseconds). The list in the crate `zxcvbn` (30,000, MIT)
//! can't be asked for a word: only for a guess of strength, which is another question.

use ::passwords::analyzer::is_common_password;

/// Whether the password is on the list, in whatever case it is written. (726 entries of the list
/// are random-looking in mixed case and are found as they stand only.)
pub fn is_common(password: &str) -> bool {
    is_common_password(password) || is_common_password(password.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_ones_are_known_in_any_case() {
        for common in ["password", "Password1", "PaSSwoRD1", "qWErtyUIop", "1qaz2wsx", "солнышко"]
        {
            assert!(is_common(common), "{common}");
        }
        for rare in ["", "correct horse battery staple", "password1-7f3kq", "\",\"", "zürich🙂"]
        {
            assert!(!is_common(rare), "{rare}");
        }
    }
}
