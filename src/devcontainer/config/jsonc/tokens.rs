//! The tokens of JSON with comments, and of what people write instead.

use super::Unit;

/// A token that counts. Space, comments and words that mean nothing are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    Comma,
    Colon,
    Null,
    Bool(bool),
    /// A number in the spelling of JSON, except that a point may end it.
    Number(String),
    Text(String),
    End,
}

/// Reads tokens from the UTF-16 code units of a text.
pub(super) struct Tokens<'a> {
    text: &'a [Unit],
    at: usize,
}

const QUOTE: Unit = b'"' as Unit;
const BACKSLASH: Unit = b'\\' as Unit;
const SLASH: Unit = b'/' as Unit;
const STAR: Unit = b'*' as Unit;
const MINUS: Unit = b'-' as Unit;

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a [Unit]) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn next(&mut self) -> Token {
        loop {
            let Some(unit) = self.peek(0) else {
                return Token::End;
            };
            if let Some(token) = punctuation(unit) {
                self.at += 1;
                return token;
            }
            match unit {
                QUOTE => return Token::Text(self.string()),
                SLASH => self.comment(),
                MINUS if !self.peek(1).is_some_and(is_digit) => self.at += 1,
                _ if unit == MINUS || is_digit(unit) => return Token::Number(self.number()),
                _ if is_space(unit) => self.at += 1,
                _ => {
                    if let Some(token) = self.word() {
                        return token;
                    }
                }
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<Unit> {
        self.text.get(self.at + ahead).copied()
    }

    /// Skips a comment, or a slash that begins none.
    fn comment(&mut self) {
        match self.peek(1) {
            Some(SLASH) => self.skip_while(|unit| !is_line_break(unit)),
            Some(STAR) => {
                let rest = self.text.get(self.at + 2..).unwrap_or_default();
                let length = rest.windows(2).position(|pair| pair == [STAR, SLASH]);
                // A comment without an end takes the rest.
                self.at = length.map_or(self.text.len(), |length| self.at + 2 + length + 2);
            }
            _ => self.at += 1,
        }
    }

    /// The content of a string. A line break ends it, as does the end of the text. A wrong escape is left out.
    fn string(&mut self) -> String {
        let mut content: Vec<Unit> = Vec::new();
        self.at += 1;
        while let Some(unit) = self.peek(0) {
            match unit {
                QUOTE => {
                    self.at += 1;
                    break;
                }
                _ if is_line_break(unit) => break,
                BACKSLASH => {
                    self.at += 1;
                    content.extend(self.escape());
                }
                _ => {
                    content.push(unit);
                    self.at += 1;
                }
            }
        }
        String::from_utf16_lossy(&content)
    }

    /// The character that an escape after its backslash stands for.
    fn escape(&mut self) -> Option<Unit> {
        let kind = u8::try_from(self.peek(0)?);
        self.at += 1;
        let character = match kind.ok()? {
            plain @ (b'"' | b'\\' | b'/') => plain,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.hexadecimal(),
            _ => return None,
        };
        Some(character.into())
    }

    /// Four hexadecimal digits; `None` after fewer.
    fn hexadecimal(&mut self) -> Option<Unit> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = char::from_u32(self.peek(0)?.into())?.to_digit(16)?;
            value = value * 16 + digit;
            self.at += 1;
        }
        Unit::try_from(value).ok()
    }

    /// A number. An exponent without digits is left out.
    fn number(&mut self) -> String {
        let from = self.at;
        if self.peek(0) == Some(MINUS) {
            self.at += 1;
        }
        // Nothing follows a leading zero.
        if self.peek(0) == Some(b'0'.into()) {
            self.at += 1;
        } else {
            self.skip_while(is_digit);
        }
        let mut to = self.at;
        let has_point = self.peek(0) == Some(b'.'.into());
        if has_point {
            self.at += 1;
            to = self.at;
            self.skip_while(is_digit);
            if self.at == to {
                return self.ascii(from, to);
            }
            to = self.at;
        }
        if [b'e', b'E']
            .map(Unit::from)
            .map(Some)
            .contains(&self.peek(0))
        {
            self.at += 1;
            if [b'+', b'-']
                .map(Unit::from)
                .map(Some)
                .contains(&self.peek(0))
            {
                self.at += 1;
            }
            let digits = self.at;
            self.skip_while(is_digit);
            if self.at > digits {
                to = self.at;
            }
        }
        self.ascii(from, to)
    }

    /// A word, which extends to the next space or punctuation; `None` where it means nothing.
    fn word(&mut self) -> Option<Token> {
        let from = self.at;
        let is_part = |unit| {
            let ends = matches!(unit, QUOTE | SLASH) || punctuation(unit).is_some();
            !ends && !is_space(unit)
        };
        self.skip_while(is_part);
        match &*self.ascii(from, self.at) {
            "true" => Some(Token::Bool(true)),
            "false" => Some(Token::Bool(false)),
            "null" => Some(Token::Null),
            _ => None,
        }
    }

    fn skip_while(&mut self, is_part: impl Fn(Unit) -> bool) {
        while self.peek(0).is_some_and(&is_part) {
            self.at += 1;
        }
    }

    fn ascii(&self, from: usize, to: usize) -> String {
        String::from_utf16_lossy(self.text.get(from..to).unwrap_or_default())
    }
}

fn punctuation(unit: Unit) -> Option<Token> {
    Some(match u8::try_from(unit).ok()? {
        b'{' => Token::OpenBrace,
        b'}' => Token::CloseBrace,
        b'[' => Token::OpenBracket,
        b']' => Token::CloseBracket,
        b',' => Token::Comma,
        b':' => Token::Colon,
        _ => return None,
    })
}

fn is_digit(unit: Unit) -> bool {
    u8::try_from(unit).is_ok_and(|byte| byte.is_ascii_digit())
}

/// Other characters that look like space are words without meaning.
fn is_space(unit: Unit) -> bool {
    matches!(u8::try_from(unit), Ok(b' ' | b'\t')) || is_line_break(unit)
}

fn is_line_break(unit: Unit) -> bool {
    matches!(u8::try_from(unit), Ok(b'\n' | b'\r'))
}
