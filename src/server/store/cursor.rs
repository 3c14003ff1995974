//! Where a page of the log begins: a call, not a count, so that pages stay what they are while calls are added.

use crate::base::{Error, ErrorCode, Result, SessionId, UnixMillis};
use crate::ringing::Call;

/// A page of the calls on one side of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) side: Side,
    pub(super) initiated_at: UnixMillis,
    pub(super) session: SessionId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Older,
    Newer,
}

impl Cursor {
    pub(super) fn at(call: &Call, side: Side) -> Self {
        Self { side, initiated_at: call.initiated_at, session: call.session_id.clone() }
    }

    pub(super) fn to_text(&self) -> String {
        let side = match self.side {
            Side::Older => 'o',
            Side::Newer => 'n',
        };
        format!("{side}.{}.{}", self.initiated_at.0, self.session)
    }

    /// Errors: `invalid_argument`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let read = || {
            let (side, rest) = text.split_once('.')?;
            let (time, session) = rest.split_once('.')?;
            let side = match side {
                "o" => Side::Older,
                "n" => Side::Newer,
                _ => return None,
            };
            // As the API's document has it: the ids that this server gives, and times that every client can hold.
            let plain = |text: &str, longest: usize, hex: bool| {
                let digit = |c: char| c.is_ascii_digit() || (hex && c.is_ascii_lowercase());
                (1..=longest).contains(&text.len()) && text.chars().all(digit)
            };
            if !plain(time, 15, false) || !plain(session, 64, true) {
                return None;
            }
            Some(Self { side, initiated_at: UnixMillis(time.parse().ok()?), session: SessionId::new(session).ok()? })
        };
        read().ok_or_else(|| Error::new(ErrorCode::InvalidArgument, "the cursor is not one of an earlier page"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_a_made_up_one_is_refused() {
        let session = SessionId::new("0e8c").unwrap();
        let cursor = Cursor { side: Side::Newer, initiated_at: UnixMillis(7), session };
        assert_eq!(Cursor::parse(&cursor.to_text()).unwrap(), cursor);
        for bad in ["", "x", "o.1", "x.1.a", "o.-1.a", "o.1.", "o.1.a.b", "n.1234567890123456.a"] {
            assert_eq!(Cursor::parse(bad).unwrap_err().code(), ErrorCode::InvalidArgument);
        }
    }
}
