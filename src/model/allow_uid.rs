//! Users whose connections are served besides those of the daemon's own user and of root.

/// A value of `--allow-uid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowUid {
    /// `any`: every user.
    Any,
    /// The user with this number.
    Uid(u32),
}

impl AllowUid {
    /// Parses `any`, or the number of a user. The highest number is no user's (chown(2)).
    pub fn parse(text: &str) -> Option<Self> {
        if text == "any" {
            return Some(Self::Any);
        }
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let uid: Option<u32> = text.parse().ok().filter(|_| is_number);
        uid.filter(|uid| *uid != u32::MAX).map(Self::Uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_any() {
        for (text, expected) in [
            ("any", Some(AllowUid::Any)),
            ("0", Some(AllowUid::Uid(0))),
            ("4294967294", Some(AllowUid::Uid(4_294_967_294))),
            ("4294967295", None),
            ("+1", None),
            ("-1", None),
            ("", None),
            ("root", None),
            ("1 ", None),
        ] {
            assert_eq!(AllowUid::parse(text), expected, "{text:?}");
        }
    }
}
