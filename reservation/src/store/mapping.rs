//! States as columns: `status`, `keeps`, `goal` and `hold_expires_at` together are a
//! [`State`], and nothing else that these columns could hold is.

use haetae_base::clock::Timestamp;

use super::StoreError;
use crate::domain::{
    money::Money,
    reservation::{Goal, Keeps, State, Status},
};

pub(super) const fn keeps_name(keeps: Keeps) -> &'static str {
    match keeps {
        Keeps::Nothing => "nothing",
        Keeps::Held => "held",
        Keeps::Sold => "sold",
    }
}

fn parse_keeps(name: &str) -> Option<Keeps> {
    [Keeps::Nothing, Keeps::Held, Keeps::Sold].into_iter().find(|keeps| keeps_name(*keeps) == name)
}

pub(super) const fn goal_name(goal: Goal) -> &'static str {
    match goal {
        Goal::Wait => "wait",
        Goal::Confirm => "confirm",
        Goal::Cancel => "cancel",
    }
}

fn parse_goal(name: &str) -> Option<Goal> {
    [Goal::Wait, Goal::Confirm, Goal::Cancel].into_iter().find(|goal| goal_name(*goal) == name)
}

/// The state that a row of `reservations` says.
pub(super) fn state(
    id: &str,
    status: &str,
    keeps: &str,
    goal: &str,
    hold_expires_at: Option<i64>,
) -> Result<State, StoreError> {
    let wrong =
        |column| StoreError::Inconsistent { table: "reservations", column, id: id.to_owned() };
    let parsed = Status::parse(status).ok_or_else(|| wrong("status"))?;
    let keeps = parse_keeps(keeps).ok_or_else(|| wrong("keeps"))?;
    let goal = parse_goal(goal).ok_or_else(|| wrong("goal"))?;
    let state = match parsed {
        Status::Pending => State::Pending,
        Status::Held => State::Held {
            until: Timestamp::from_millis(hold_expires_at.ok_or_else(|| wrong("hold_expires_at"))?),
            confirming: goal == Goal::Confirm,
        },
        Status::Confirmed => State::Confirmed,
        Status::Rejected => State::Rejected,
        Status::Failed => State::Failed,
        Status::Expired => State::Expired,
        Status::Cancelling => State::Cancelling { keeps },
        Status::Cancelled => State::Cancelled,
        Status::Attention => State::Attention { keeps, goal },
    };
    if state.keeps() != keeps {
        return Err(wrong("keeps"));
    }
    if state.goal() != goal {
        return Err(wrong("goal"));
    }
    Ok(state)
}

/// The amount that two columns say.
pub(super) fn money(
    table: &'static str,
    id: &str,
    minor: Option<i64>,
    currency: Option<&str>,
) -> Result<Option<Money>, StoreError> {
    let wrong = |column| StoreError::Inconsistent { table, column, id: id.to_owned() };
    match (minor, currency) {
        (None, None) => Ok(None),
        (Some(minor), Some(currency)) => {
            let currency = currency.parse().map_err(|_| wrong("currency"))?;
            Ok(Some(Money::new(minor, currency).map_err(|_| wrong("amount"))?))
        }
        _ => Err(wrong("currency")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_survives_its_columns_and_contradictions_do_not() {
        let until = Timestamp::from_millis(5);
        let states = [
            State::Pending,
            State::Held { until, confirming: false },
            State::Held { until, confirming: true },
            State::Confirmed,
            State::Rejected,
            State::Failed,
            State::Expired,
            State::Cancelling { keeps: Keeps::Sold },
            State::Cancelled,
            State::Attention { keeps: Keeps::Held, goal: Goal::Confirm },
        ];
        for expected in states {
            let (keeps, goal) = (keeps_name(expected.keeps()), goal_name(expected.goal()));
            let read = state("rsv_1", expected.status().as_str(), keeps, goal, Some(5));
            assert_eq!(read.expect("its own columns"), expected);
        }
        assert!(state("rsv_1", "confirmed", "held", "wait", None).is_err());
        assert!(state("rsv_1", "held", "held", "wait", None).is_err());
        assert!(state("rsv_1", "sleeping", "held", "wait", None).is_err());
    }
}
