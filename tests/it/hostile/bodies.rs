//! The framing of bodies: lengths and chunks.

use super::Expected::{Closed, Open};
use super::Table;

impl Table<'_> {
    pub(super) fn lengths(&mut self) {
        for (value, expected) in [
            ("0", Open(404)),
            ("00", Closed(400)),
            ("05", Closed(400)),
            ("+5", Closed(400)),
            ("-5", Closed(400)),
            ("5,5", Closed(400)),
            ("5, 5", Closed(400)),
            ("5;x", Closed(400)),
            ("0x5", Closed(400)),
            ("5.0", Closed(400)),
            ("5e0", Closed(400)),
            ("5 5", Closed(400)),
            ("five", Closed(400)),
            ("", Closed(400)),
            ("\u{665}", Closed(400)),
            ("65537", Closed(413)),
            ("18446744073709551615", Closed(413)),
            ("18446744073709551616", Closed(400)),
            ("99999999999999999999999", Closed(400)),
        ] {
            self.post(&format!("Content-Length: {value}\r\n"), "", expected);
        }
        self.post("Content-Length: 5\r\n", "hello", Open(404));
        for headers in [
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\ncontent-length: 0\r\n",
            "Content-Length : 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding\r\n",
            "Transfer-Encoding: \u{b}chunked\r\n",
            "Transfer-Encoding:\n chunked\r\n",
            "X: y\nTransfer-Encoding: chunked\r\n",
            "X: y\rTransfer-Encoding: chunked\r\n",
        ] {
            self.post(headers, "5\r\nhello\r\n0\r\n\r\n", Closed(400));
        }
        for coding in [
            "identity",
            "gzip",
            "xchunked",
            "chunkedx",
            "chunked, identity",
            "gzip, chunked",
            "chunked, chunked",
            "\"chunked\"",
            "'chunked'",
            "chunked;x=y",
            "chunked,",
            ",chunked",
            "chun ked",
            "",
        ] {
            let headers = format!("Transfer-Encoding: {coding}\r\n");
            self.post(&headers, "0\r\n\r\n", Closed(501));
        }
        let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
        self.post(twice, "0\r\n\r\n", Closed(501));
        self.post("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n", Open(404));
        let old = "POST /nope HTTP/1.0";
        self.request(
            old,
            "Transfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            Closed(400),
        );
    }

    pub(super) fn chunks(&mut self) {
        for (body, expected) in [
            ("0\r\n\r\n", Open(404)),
            ("5\r\nhello\r\n0\r\n\r\n", Open(404)),
            ("00005\r\nhello\r\n0\r\n\r\n", Open(404)),
            ("A;x=y\r\n0123456789\r\n0\r\n\r\n", Open(404)),
            ("5;x=\"a b\"\r\nhello\r\n0\r\n\r\n", Open(404)),
            ("0\r\nX: y\r\n\r\n", Open(404)),
            ("5\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5\rhello\r\n0\r\n\r\n", Closed(400)),
            ("5 \r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5\t\r\nhello\r\n0\r\n\r\n", Closed(400)),
            (" 5\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5 ;x\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5;\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5; x\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5;x \r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("2;\nxx\r\n0\r\n\r\n", Closed(400)),
            ("2;x\nxx\r\n0\r\n\r\n", Closed(400)),
            ("2;x\rxx\r\n0\r\n\r\n", Closed(400)),
            ("2;\u{0}\r\nxx\r\n0\r\n\r\n", Closed(400)),
            ("2;\u{b}\r\nxx\r\n0\r\n\r\n", Closed(400)),
            ("2;\u{7f}\r\nxx\r\n0\r\n\r\n", Closed(400)),
            ("2;\u{e9}\r\nxx\r\n0\r\n\r\n", Closed(400)),
            ("0x5\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("+5\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("-5\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5_0\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5,5\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("g\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("\r\nhello\r\n0\r\n\r\n", Closed(400)),
            (";x\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5\r\nhelloX\r\n0\r\n\r\n", Closed(400)),
            ("5\r\nhello\n0\r\n\r\n", Closed(400)),
            ("5\r\nhello0\r\n\r\n", Closed(400)),
            ("4\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("00000000000000005\r\nhello\r\n", Closed(400)),
            ("10001\r\n", Closed(413)),
            ("ffffffffffffffff\r\n", Closed(413)),
            ("10000000000000000\r\n", Closed(400)),
            ("0\r\n\n", Closed(400)),
            ("0\n\r\n", Closed(400)),
            ("0\n\n", Closed(400)),
            ("0\r\nX\r\n\r\n", Closed(400)),
            ("0\r\n X: y\r\n\r\n", Closed(400)),
            ("0\r\nX : y\r\n\r\n", Closed(400)),
            ("0\r\nX: y\n\r\n", Closed(400)),
            ("0\r\nX: \u{0}\r\n\r\n", Closed(400)),
            ("0\r\nX: y\r\n z\r\n\r\n", Closed(400)),
            ("0\r\nContent-Length: 5\r\n\r\n", Closed(400)),
            ("0\r\nTransfer-Encoding: chunked\r\n\r\n", Closed(400)),
            ("0\r\nHost: evil.example\r\n\r\n", Closed(400)),
        ] {
            self.chunked(body, expected);
        }
        let long = "x".repeat(30_000);
        self.chunked(&format!("5;{long}"), Closed(431));
        self.chunked(&format!("0\r\nX: {long}\r\n\r\n"), Closed(431));
        self.chunked(&format!("0\r\n{}", "X: y\r\n".repeat(2500)), Closed(431));
        self.chunked(&"1\r\nx\r\n".repeat(70_000), Closed(413));
        let extended = format!("1;{}\r\nx\r\n", "y".repeat(8000));
        self.chunked(&format!("{}0\r\n\r\n", extended.repeat(8)), Open(404));
        self.chunked(&format!("{}0\r\n\r\n", extended.repeat(9)), Closed(413));
        self.chunked(&extended.repeat(2000), Closed(413));
    }
}
