//! Values of JSON with comments, read as far as they make sense.

use serde_json::{Map, Number, Value};

use super::Unit;
use super::tokens::{Token, Tokens};

/// How deeply values may be nested.
const MAX_DEPTH: usize = 256;

/// Reads the first value of a text. `None` where the text begins with something else, or nests values too deeply.
pub(super) fn parse(text: &[Unit]) -> Option<Value> {
    let mut tokens = Tokens::new(text);
    let token = tokens.next();
    let mut parser = Parser {
        tokens,
        token,
        is_too_deep: false,
    };
    let value = parser.value(0);
    value.filter(|_| !parser.is_too_deep)
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    /// The token that is looked at.
    token: Token,
    is_too_deep: bool,
}

impl Parser<'_> {
    /// Reads the value that begins here. Where none does, nothing is read.
    fn value(&mut self, depth: usize) -> Option<Value> {
        let value = match &mut self.token {
            Token::OpenBrace | Token::OpenBracket if depth >= MAX_DEPTH => {
                // Nothing further is read.
                self.is_too_deep = true;
                self.token = Token::End;
                return None;
            }
            Token::OpenBrace => Value::Object(self.object(depth)),
            Token::OpenBracket => Value::Array(self.array(depth)),
            Token::Null => Value::Null,
            Token::Bool(value) => Value::Bool(*value),
            Token::Number(number) => value_of_number(number),
            Token::Text(text) => Value::String(std::mem::take(text)),
            _ => return None,
        };
        // Past the literal or the closing bracket.
        self.advance();
        Some(value)
    }

    /// Reads an object up to its brace, or to the end of the text.
    fn object(&mut self, depth: usize) -> Map<String, Value> {
        let mut object = Map::new();
        self.advance();
        while !matches!(self.token, Token::CloseBrace | Token::End) {
            if self.token == Token::Comma {
                self.advance();
            }
            let Token::Text(name) = &mut self.token else {
                self.skip_to(Token::CloseBrace);
                continue;
            };
            let name = std::mem::take(name);
            self.advance();
            let value = if self.token == Token::Colon {
                self.advance();
                self.value(depth + 1)
            } else {
                None
            };
            match value {
                Some(value) => {
                    object.insert(name, value);
                }
                None => self.skip_to(Token::CloseBrace),
            }
        }
        object
    }

    /// Reads an array up to its bracket, or to the end of the text.
    fn array(&mut self, depth: usize) -> Vec<Value> {
        let mut array = Vec::new();
        self.advance();
        while !matches!(self.token, Token::CloseBracket | Token::End) {
            if self.token == Token::Comma {
                self.advance();
            }
            match self.value(depth + 1) {
                Some(value) => array.push(value),
                None => self.skip_to(Token::CloseBracket),
            }
        }
        array
    }

    /// Skips what makes no sense, up to a comma or the closing bracket.
    fn skip_to(&mut self, closing: Token) {
        while self.token != Token::Comma && self.token != closing && self.token != Token::End {
            self.advance();
        }
    }

    fn advance(&mut self) {
        self.token = if self.is_too_deep {
            Token::End
        } else {
            self.tokens.next()
        };
    }
}

/// The value of a number as JavaScript reads and prints it: `null` where it is too large.
fn value_of_number(text: &str) -> Value {
    let text = text.strip_suffix('.').unwrap_or(text);
    let number = match text.parse::<Number>() {
        // serde_json reads some of these only roughly, so that two spellings of one number would differ.
        Ok(number) if number.is_f64() => text.parse().ok().and_then(Number::from_f64),
        number => number.ok(),
    };
    number.map_or(Value::Null, Value::Number)
}
