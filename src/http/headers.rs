//! The headers of a request, with the rules of each.

use super::request::{Flaw, Framing, HeadError, Persistence, Version};

/// The names of the headers that are read. Those that most requests have come first, and are found first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Host,
    Accept,
    Connection,
    AcceptEncoding,
    Authorization,
    ContentLength,
    ContentType,
    Expect,
    IfNoneMatch,
    LastEventId,
    Origin,
    Purpose,
    SecFetchDest,
    SecFetchMode,
    SecFetchSite,
    SecPurpose,
    TransferEncoding,
    XMoz,
    XPurpose,
}

/// The headers of a head.
pub(super) struct Headers<'s, 'h> {
    all: &'s [httparse::Header<'h>],
    /// A bit for each name that occurs. Most do not, and are not looked for.
    present: u32,
}

impl Name {
    const ALL: &'static [(Self, &'static str)] = &[
        (Self::Host, "Host"),
        (Self::Accept, "Accept"),
        (Self::Connection, "Connection"),
        (Self::AcceptEncoding, "Accept-Encoding"),
        (Self::Authorization, "Authorization"),
        (Self::ContentLength, "Content-Length"),
        (Self::ContentType, "Content-Type"),
        (Self::Expect, "Expect"),
        (Self::IfNoneMatch, "If-None-Match"),
        (Self::LastEventId, "Last-Event-ID"),
        (Self::Origin, "Origin"),
        (Self::Purpose, "Purpose"),
        (Self::SecFetchDest, "Sec-Fetch-Dest"),
        (Self::SecFetchMode, "Sec-Fetch-Mode"),
        (Self::SecFetchSite, "Sec-Fetch-Site"),
        (Self::SecPurpose, "Sec-Purpose"),
        (Self::TransferEncoding, "Transfer-Encoding"),
        (Self::XMoz, "X-Moz"),
        (Self::XPurpose, "X-Purpose"),
    ];

    /// Returns the name in any case as one that is read.
    fn of(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        let found =
            all.find(|(_, known)| known.len() == name.len() && known.eq_ignore_ascii_case(name));
        found.map(|(name, _)| *name)
    }

    fn as_str(self) -> &'static str {
        let all = Self::ALL.get(self as usize);
        all.map_or("", |(_, name)| name)
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl<'s, 'h> Headers<'s, 'h> {
    pub(super) fn new(all: &'s [httparse::Header<'h>]) -> Self {
        let names = all.iter().filter_map(|header| Name::of(header.name));
        let present = names.fold(0, |bits, name| bits | name.bit());
        Self { all, present }
    }

    fn has(&self, name: Name) -> bool {
        self.present & name.bit() != 0
    }

    /// Returns the values of all headers with this name.
    fn all(&self, name: Name) -> impl Iterator<Item = &'h [u8]> {
        let all = if self.has(name) { self.all } else { &[] };
        let named = all
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name.as_str()));
        named.map(|header| header.value.trim_ascii())
    }

    pub(super) fn first(&self, name: Name) -> Option<&'h str> {
        if !self.has(name) {
            return None;
        }
        let value = self.all(name).next()?;
        std::str::from_utf8(value).ok()
    }

    /// RFC 9110, section 13.1.2.
    pub(super) fn if_none_match(&self) -> Option<&'h str> {
        let mut values = self.all(Name::IfNoneMatch);
        let first = values.next()?;
        // A client with several of them only gets more than it needs.
        let text = std::str::from_utf8(first);
        text.ok().filter(|_| values.next().is_none())
    }

    /// Returns the value of a header that must not occur twice.
    pub(super) fn only(&self, name: Name) -> Result<Option<&'h str>, Flaw> {
        if !self.has(name) {
            return Ok(None);
        }
        let mut values = self.all(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Flaw::Repeated(name.as_str()));
        }
        let text = std::str::from_utf8(value);
        text.map(Some).map_err(|_| Flaw::NotText(name.as_str()))
    }

    /// W3C Fetch Metadata has `Sec-Purpose`, and older browsers send `Purpose` or `X-Purpose`.
    pub(super) fn is_speculative(&self) -> bool {
        let names = [Name::SecPurpose, Name::Purpose, Name::XPurpose, Name::XMoz];
        if !names.iter().any(|name| self.has(*name)) {
            return false;
        }
        let values = names.into_iter().flat_map(|name| self.all(name));
        let mut tokens = values.flat_map(|value| value.split(|b| !b.is_ascii_alphanumeric()));
        tokens.any(|token| {
            let is = |word: &str| token.eq_ignore_ascii_case(word.as_bytes());
            is("prefetch") || is("prerender") || is("preview")
        })
    }

    /// True if a browser fetches the address to show it as a page of its own, not in a frame (W3C Fetch Metadata).
    pub(super) fn is_navigation(&self) -> Result<bool, Flaw> {
        let mode = self.only(Name::SecFetchMode)?;
        let dest = self.only(Name::SecFetchDest)?;
        Ok(mode == Some("navigate") && dest == Some("document"))
    }

    /// RFC 9112, section 9.3.
    pub(super) fn persistence(&self, version: Version) -> Persistence {
        let has = |option: &str| {
            self.all(Name::Connection)
                .flat_map(|value| value.split(|b| *b == b','))
                .any(|value| value.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
        };
        if !has("close") && (version == Version::Http11 || has("keep-alive")) {
            Persistence::KeepAlive
        } else {
            Persistence::Close
        }
    }

    pub(super) fn expect_continue(&self) -> bool {
        self.all(Name::Expect)
            .any(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    /// RFC 9112, section 6.3, without its leniencies.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, HeadError> {
        let length = self.only(Name::ContentLength)?;
        let mut codings = self.all(Name::TransferEncoding);
        match (codings.next(), codings.next(), length) {
            (None, _, None) => Ok(Framing::Length(0)),
            (None, _, Some(digits)) => {
                // Some programs take a leading zero for the beginning of an octal number.
                let is_octal = digits.len() > 1 && digits.starts_with('0');
                let is_plain = !is_octal && digits.bytes().all(|b| b.is_ascii_digit());
                let length = digits.parse().ok().filter(|_| is_plain);
                Ok(Framing::Length(length.ok_or(Flaw::ContentLength)?))
            }
            (Some(_), _, Some(_)) => Err(Flaw::LengthAndCoding.into()),
            (Some(_), _, None) if version == Version::Http10 => Err(Flaw::CodingInHttp10.into()),
            (Some(coding), None, None) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Framing::Chunked)
            }
            _ => Err(HeadError::Coding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_own_text() {
        for (index, &(name, text)) in Name::ALL.iter().enumerate() {
            assert_eq!((name as usize, name.as_str()), (index, text));
            assert_eq!(Name::of(&text.to_ascii_uppercase()), Some(name));
        }
        assert_eq!(Name::of("Hos"), None);
    }
}
