//! The headers of a request, with the rules of each.

use super::request::{Flaw, Framing, HeadError, Persistence, Version};

/// The headers of a head.
pub(super) struct Headers<'a>(pub(super) &'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    /// Returns the values of all headers with this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let is_named = move |header: &&httparse::Header<'a>| header.name.eq_ignore_ascii_case(name);
        let named = self.0.iter().filter(is_named);
        named.map(|header| header.value.trim_ascii())
    }

    pub(super) fn first(&self, name: &str) -> Option<String> {
        let value = self.all(name).next()?;
        std::str::from_utf8(value).ok().map(str::to_owned)
    }

    /// Returns the value of a header that must not occur twice.
    pub(super) fn only(&self, name: &'static str) -> Result<Option<&'a str>, Flaw> {
        let mut values = self.all(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Flaw::Repeated(name));
        }
        let text = std::str::from_utf8(value);
        text.map(Some).map_err(|_| Flaw::NotText(name))
    }

    /// W3C Fetch Metadata has `Sec-Purpose`, and older browsers send `Purpose` or `X-Purpose`.
    pub(super) fn is_speculative(&self) -> bool {
        let names = ["Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"];
        let values = names.into_iter().flat_map(|name| self.all(name));
        let mut tokens = values.flat_map(|value| value.split(|b| !b.is_ascii_alphanumeric()));
        tokens.any(|token| {
            let is = |word: &str| token.eq_ignore_ascii_case(word.as_bytes());
            is("prefetch") || is("prerender") || is("preview")
        })
    }

    /// RFC 9112, section 9.3.
    pub(super) fn persistence(&self, version: Version) -> Persistence {
        let has = |option: &str| {
            self.all("Connection")
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
        self.all("Expect")
            .any(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    /// RFC 9112, section 6.3, without its leniencies.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, HeadError> {
        let length = self.only("Content-Length")?;
        let mut codings = self.all("Transfer-Encoding");
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
