//! The newest page of a log as bytes of a stream, for all who follow at the same speed.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The page that was last rendered. Those who wait for new lines get the same page, mostly, and only the first of them
/// renders it.
#[derive(Default)]
pub struct Rendering(Mutex<Option<Rendered>>);

struct Rendered {
    form: &'static str,
    lines: Range<u64>,
    bytes: Arc<[u8]>,
}

impl Rendering {
    /// Returns the page in this form that those get who ask for these lines, some of which may be dropped. `render` makes
    /// the bytes where no other reader has.
    pub fn get(
        &self,
        form: &'static str,
        lines: Range<u64>,
        render: impl FnOnce() -> Vec<u8>,
    ) -> Arc<[u8]> {
        // Held while the bytes are made, so that those who come at the same time wait for them.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && last.form == form
            && last.lines == lines
        {
            return last.bytes.clone();
        }
        let bytes: Arc<[u8]> = render().into();
        *last = Some(Rendered {
            form,
            lines,
            bytes: bytes.clone(),
        });
        bytes
    }

    /// Gives the bytes back, once there is no new page.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_rendered_once_for_all_who_read_it() {
        let rendering = Rendering::default();
        let get = |form, lines: Range<u64>, text: &str| {
            let bytes = rendering.get(form, lines, || text.into());
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        assert_eq!(get("json", 0..2, "first"), "first");
        assert_eq!(get("json", 0..2, "never made"), "first");
        assert_eq!(get("text", 0..2, "other form"), "other form");
        assert_eq!(get("text", 0..3, "other lines"), "other lines");
        assert_eq!(get("text", 1..3, "fewer lines"), "fewer lines");
    }
}
