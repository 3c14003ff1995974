//! What is counted over all schedules.

use std::collections::BTreeMap;

/// What happened in a schedule: a simulation in which nothing happens proves nothing.
#[derive(Debug, Default)]
pub struct Totals {
    pub(super) calls: usize,
    /// Those of them that were for the group, and that more than two were in.
    pub(super) group_calls: usize,
    pub(super) shared_by_three: usize,
    pub(super) outcomes: BTreeMap<String, usize>,
    pub(super) crashes: usize,
    pub(super) crashes_between_store_and_answer: usize,
    pub(super) store_failures: usize,
    pub(super) broken_connections: usize,
    pub(super) duplicated_messages: usize,
    pub(super) owners_changes: usize,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.group_calls += other.group_calls;
        self.shared_by_three += other.shared_by_three;
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
        self.crashes += other.crashes;
        self.crashes_between_store_and_answer += other.crashes_between_store_and_answer;
        self.store_failures += other.store_failures;
        self.broken_connections += other.broken_connections;
        self.duplicated_messages += other.duplicated_messages;
        self.owners_changes += other.owners_changes;
    }

    pub fn assert_everything_happened(&self) {
        let expected = [
            "hung_up",
            "rejected",
            "busy",
            "cancelled",
            "unanswered",
            "caller_gone",
            "connection_lost",
            "left_alone",
            "everyone_left",
            "removed",
        ];
        for outcome in expected {
            assert!(self.outcomes.contains_key(outcome), "no call ended with {outcome}: {self:?}");
        }
        assert!(self.group_calls > 0 && self.shared_by_three > 0, "{self:?}");
        assert!(self.crashes > 0 && self.crashes_between_store_and_answer > 0, "{self:?}");
        assert!(self.store_failures > 0 && self.broken_connections > 0, "{self:?}");
        assert!(self.duplicated_messages > 0 && self.owners_changes > 0, "{self:?}");
    }
}
