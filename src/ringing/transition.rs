//! How a call moves: one table, and nothing moves but by it.

use super::call::{CallStatus, named};
use crate::base::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

named! {
    /// What can happen to a call.
    Action {
        /// A device of the callee confirms that it rings.
        Ring = "ring",
        /// A device of the callee accepts.
        Accept = "accept",
        /// A device of the callee rejects.
        Reject = "reject",
        /// The callee is in another call: its device or the server says so.
        Busy = "busy",
        /// The initiator gives up, or its device is gone.
        Cancel = "cancel",
        /// Nobody answered in time.
        TimeOut = "time_out",
        /// A party ends it, or no party is left in it.
        End = "end",
        /// The server cannot carry it.
        Fail = "fail",
    }
}

/// Every legal move. A pair that is not here is refused.
const TABLE: &[(CallStatus, Action, CallStatus)] = &[
    (CallStatus::Initiated, Action::Ring, CallStatus::Initiated),
    (CallStatus::Initiated, Action::Accept, CallStatus::Ongoing),
    (CallStatus::Initiated, Action::Reject, CallStatus::Rejected),
    (CallStatus::Initiated, Action::Busy, CallStatus::Busy),
    (CallStatus::Initiated, Action::Cancel, CallStatus::Cancelled),
    (CallStatus::Initiated, Action::TimeOut, CallStatus::Unanswered),
    (CallStatus::Initiated, Action::Fail, CallStatus::Failed),
    (CallStatus::Ongoing, Action::End, CallStatus::Ended),
    (CallStatus::Ongoing, Action::Fail, CallStatus::Ended),
];

impl Action {
    /// The status that this action leads to from `status`.
    ///
    /// Errors, each naming both states: `already_ended` when the call is over, `not_allowed_in_state` otherwise.
    pub fn from(self, status: CallStatus) -> Result<CallStatus> {
        if let Some((_, _, next)) = TABLE.iter().find(|(from, action, _)| *from == status && *action == self) {
            return Ok(*next);
        }
        let code = if status.is_over() { ErrorCode::AlreadyEnded } else { ErrorCode::NotAllowedInState };
        Err(Error::new(code, format!("a call that is {status} cannot become {} ({self})", self.target())))
    }

    /// Where the action leads when it is legal.
    fn target(self) -> CallStatus {
        TABLE.iter().find(|(_, action, _)| *action == self).map_or(CallStatus::Failed, |(_, _, next)| *next)
    }
}

/// The whole table as docs/transitions.md shows it: a row for each status, a column for each action.
pub fn table_as_markdown() -> String {
    let mut text = String::from("| status |");
    for action in Action::ALL {
        text += &format!(" {action} |");
    }
    text += "\n| --- |";
    text += &" --- |".repeat(Action::ALL.len());
    text.push('\n');
    for status in CallStatus::ALL {
        text += &format!("| **{status}** |");
        for action in Action::ALL {
            match action.from(*status) {
                Ok(next) => text += &format!(" {next} |"),
                Err(error) => text += &format!(" `{}` |", error.code()),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_status_and_action_moves_as_documented_or_names_both_states() {
        for status in CallStatus::ALL {
            for action in Action::ALL {
                let expected = match (status, action) {
                    (CallStatus::Initiated, Action::Ring) => Some(CallStatus::Initiated),
                    (CallStatus::Initiated, Action::Accept) => Some(CallStatus::Ongoing),
                    (CallStatus::Initiated, Action::Reject) => Some(CallStatus::Rejected),
                    (CallStatus::Initiated, Action::Busy) => Some(CallStatus::Busy),
                    (CallStatus::Initiated, Action::Cancel) => Some(CallStatus::Cancelled),
                    (CallStatus::Initiated, Action::TimeOut) => Some(CallStatus::Unanswered),
                    (CallStatus::Initiated, Action::Fail) => Some(CallStatus::Failed),
                    (CallStatus::Ongoing, Action::End | Action::Fail) => Some(CallStatus::Ended),
                    _ => None,
                };
                match (action.from(*status), expected) {
                    (Ok(next), Some(expected)) => assert_eq!(next, expected, "{status} {action}"),
                    (Err(error), None) => {
                        let code =
                            if status.is_over() { ErrorCode::AlreadyEnded } else { ErrorCode::NotAllowedInState };
                        assert_eq!(error.code(), code, "{status} {action}");
                        assert!(error.message().contains(status.name()), "{error}");
                        assert!(error.message().contains(action.target().name()), "{error}");
                    }
                    (got, expected) => panic!("{status} {action}: {got:?}, expected {expected:?}"),
                }
            }
        }
    }

    #[test]
    fn a_call_that_is_over_never_moves_again() {
        for status in CallStatus::ALL.iter().filter(|s| s.is_over()) {
            assert!(Action::ALL.iter().all(|action| action.from(*status).is_err()), "{status}");
        }
    }

    #[test]
    fn the_documented_table_is_the_table_in_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/transitions.md");
        let page = std::fs::read_to_string(path).expect("docs/transitions.md is there");
        let table = table_as_markdown();
        assert!(page.contains(&table), "docs/transitions.md should hold this table:\n{table}");
    }
}
