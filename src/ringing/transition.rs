//! How a call moves: one table for each kind of receiver, and nothing moves but by it.

use super::call::{CallStatus, ReceiverType, named};
use crate::base::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

named! {
    /// What can happen to a call.
    Action {
        /// A device of a callee confirms that it rings.
        Ring = "ring",
        /// A device of a callee accepts; of a group's call that is ongoing: one more member joins it.
        Accept = "accept",
        /// A device of a callee rejects.
        Reject = "reject",
        /// A callee is in another call: its device or the server says so.
        Busy = "busy",
        /// Of a group: nobody is left who may answer, and one has rejected.
        AllRejected = "all_rejected",
        /// Of a group: nobody is left who may answer, and nobody but busy ones.
        AllBusy = "all_busy",
        /// The initiator gives up, or its device is gone.
        Cancel = "cancel",
        /// It has rung for long enough.
        TimeOut = "time_out",
        /// One of a group's leaves a call in which others are.
        Leave = "leave",
        /// A party ends it; of a group's call: the last one leaves.
        End = "end",
        /// The server cannot carry it, or the owner removed who it is for.
        Fail = "fail",
    }
}

/// Every legal move of a call to a user. A pair that is not here is refused.
const USER: &[(CallStatus, Action, CallStatus)] = &[
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

/// Every legal move of a call to a group: it rings on for others when one answers, and goes on when one leaves.
const GROUP: &[(CallStatus, Action, CallStatus)] = &[
    (CallStatus::Initiated, Action::Ring, CallStatus::Initiated),
    (CallStatus::Initiated, Action::Accept, CallStatus::Ongoing),
    (CallStatus::Initiated, Action::Reject, CallStatus::Initiated),
    (CallStatus::Initiated, Action::Busy, CallStatus::Initiated),
    (CallStatus::Initiated, Action::AllRejected, CallStatus::Rejected),
    (CallStatus::Initiated, Action::AllBusy, CallStatus::Busy),
    (CallStatus::Initiated, Action::Cancel, CallStatus::Cancelled),
    (CallStatus::Initiated, Action::TimeOut, CallStatus::Unanswered),
    (CallStatus::Initiated, Action::Fail, CallStatus::Failed),
    (CallStatus::Ongoing, Action::Ring, CallStatus::Ongoing),
    (CallStatus::Ongoing, Action::Accept, CallStatus::Ongoing),
    (CallStatus::Ongoing, Action::Reject, CallStatus::Ongoing),
    (CallStatus::Ongoing, Action::Busy, CallStatus::Ongoing),
    (CallStatus::Ongoing, Action::TimeOut, CallStatus::Ongoing),
    (CallStatus::Ongoing, Action::Leave, CallStatus::Ongoing),
    (CallStatus::Ongoing, Action::End, CallStatus::Ended),
    (CallStatus::Ongoing, Action::Fail, CallStatus::Ended),
];

impl Action {
    /// The status that this action leads to from `status`, in a call to that kind of receiver.
    ///
    /// Errors, each naming both states: `already_ended` when the call is over, `not_allowed_in_state` otherwise.
    pub fn from(self, receiver: ReceiverType, status: CallStatus) -> Result<CallStatus> {
        let table = match receiver {
            ReceiverType::User => USER,
            ReceiverType::Group => GROUP,
        };
        if let Some((_, _, next)) = table.iter().find(|(from, action, _)| *from == status && *action == self) {
            return Ok(*next);
        }
        let code = if status.is_over() { ErrorCode::AlreadyEnded } else { ErrorCode::NotAllowedInState };
        Err(Error::new(code, format!("a call that is {status} cannot become {} ({self})", self.target())))
    }

    /// Where the action leads when it is legal.
    fn target(self) -> CallStatus {
        let mut both = USER.iter().chain(GROUP);
        both.find(|(_, action, _)| *action == self).map_or(CallStatus::Failed, |(_, _, next)| *next)
    }
}

/// A whole table as docs/transitions.md shows it: a row for each status, a column for each action.
pub fn table_as_markdown(receiver: ReceiverType) -> String {
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
            match action.from(receiver, *status) {
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

    /// What every pair should do, said once more and apart from the tables.
    fn expected(receiver: ReceiverType, status: CallStatus, action: Action) -> Option<CallStatus> {
        use {Action as A, CallStatus as S};
        let group = receiver == ReceiverType::Group;
        match (status, action) {
            (S::Initiated, A::Ring) => Some(S::Initiated),
            (S::Initiated, A::Accept) => Some(S::Ongoing),
            (S::Initiated, A::Reject) => Some(if group { S::Initiated } else { S::Rejected }),
            (S::Initiated, A::Busy) => Some(if group { S::Initiated } else { S::Busy }),
            (S::Initiated, A::AllRejected) => group.then_some(S::Rejected),
            (S::Initiated, A::AllBusy) => group.then_some(S::Busy),
            (S::Initiated, A::Cancel) => Some(S::Cancelled),
            (S::Initiated, A::TimeOut) => Some(S::Unanswered),
            (S::Initiated, A::Fail) => Some(S::Failed),
            (S::Ongoing, A::End | A::Fail) => Some(S::Ended),
            (S::Ongoing, A::Ring | A::Accept | A::Reject | A::Busy | A::TimeOut | A::Leave) => {
                group.then_some(S::Ongoing)
            }
            _ => None,
        }
    }

    #[test]
    fn every_pair_of_status_and_action_moves_as_documented_or_names_both_states() {
        for receiver in ReceiverType::ALL {
            for status in CallStatus::ALL {
                for action in Action::ALL {
                    match (action.from(*receiver, *status), expected(*receiver, *status, *action)) {
                        (Ok(next), Some(expected)) => assert_eq!(next, expected, "{receiver} {status} {action}"),
                        (Err(error), None) => {
                            let code =
                                if status.is_over() { ErrorCode::AlreadyEnded } else { ErrorCode::NotAllowedInState };
                            assert_eq!(error.code(), code, "{receiver} {status} {action}");
                            assert!(error.message().contains(status.name()), "{error}");
                            assert!(error.message().contains(action.target().name()), "{error}");
                        }
                        (got, expected) => panic!("{receiver} {status} {action}: {got:?}, expected {expected:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_call_that_is_over_never_moves_again() {
        for receiver in ReceiverType::ALL {
            for status in CallStatus::ALL.iter().filter(|s| s.is_over()) {
                assert!(Action::ALL.iter().all(|action| action.from(*receiver, *status).is_err()), "{status}");
            }
        }
    }

    /// `TRILL_BLESS=1 cargo test` writes the tables anew.
    #[test]
    fn the_documented_tables_are_the_tables_in_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/transitions.md");
        let mut page = std::fs::read_to_string(path).expect("docs/transitions.md is there");
        for receiver in ReceiverType::ALL {
            let table = table_as_markdown(*receiver);
            if std::env::var_os("TRILL_BLESS").is_some() {
                let (begin, end) = (format!("<!-- {receiver} -->\n"), "<!-- end -->");
                let from = page.find(&begin).expect("the mark of the table") + begin.len();
                let to = from + page[from..].find(end).expect("the end of the table");
                page.replace_range(from..to, &table);
            }
            assert!(page.contains(&table), "docs/transitions.md has drifted; TRILL_BLESS=1 writes it:\n{table}");
        }
        if std::env::var_os("TRILL_BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
    }
}
