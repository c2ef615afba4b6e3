//! Following the audit trail. Ids sort by time, but events are not stored in that order: each process stores
//! what it recorded a moment before, in batches. So what is new is looked for some way back, and what was
//! told already is left out.

use std::{collections::BTreeSet, time::Duration};

use haetae_base::clock::Timestamp;

use super::{Manage, ManageError};
use crate::{
    audit::{AuditEventId, Recorded},
    store::audit::AuditQuery,
};

/// How long after it happened an event is still looked for. Storing takes milliseconds, unless SQL is away.
const WINDOW: Duration = Duration::from_mins(1);
/// How many events are read at once.
const PAGE: u64 = 1000;

/// A place in the audit trail from which it is followed.
#[derive(Debug)]
pub struct Follow {
    query: AuditQuery,
    /// What was told and may be found again.
    told: BTreeSet<AuditEventId>,
    /// Nothing up to this one is told.
    floor: AuditEventId,
}

impl Manage {
    /// The events that `query` asks for, and the place from which those after them are followed.
    pub async fn audit_from_here(
        &self,
        query: AuditQuery,
    ) -> Result<(Vec<Recorded>, Follow), ManageError> {
        let now = self.now();
        let events = self.audit(&query).await?;
        let back = first_of(now.minus(WINDOW));
        let floor = match events.first() {
            // There were older ones, which were not asked for.
            Some(first) if events.len() as u64 >= query.limit => back.max(first.id),
            Some(_) => back,
            None => first_of(now),
        };
        let told = events.iter().map(|event| event.id).collect();
        Ok((events, Follow { query, told, floor }))
    }

    /// What came since the last time, in the order of time as far as it is known.
    pub async fn audit_since(&self, follow: &mut Follow) -> Result<Vec<Recorded>, ManageError> {
        let now = self.now();
        let mut new = Vec::new();
        let mut after = follow.floor;
        loop {
            let query = AuditQuery { after: Some(after), limit: PAGE, ..follow.query.clone() };
            let events = self.audit(&query).await?;
            let (last, full) = (events.last().map(|event| event.id), events.len() as u64 == PAGE);
            new.extend(events.into_iter().filter(|event| follow.told.insert(event.id)));
            match last {
                Some(last) if full => after = last,
                _ => break,
            }
        }
        follow.floor = follow.floor.max(first_of(now.minus(WINDOW)));
        follow.told = follow.told.split_off(&follow.floor);
        Ok(new)
    }
}

/// The lowest id of an instant.
fn first_of(at: Timestamp) -> AuditEventId {
    let millis = u64::try_from(at.as_millis()).unwrap_or(0);
    let mut bytes = [0; 16];
    for (byte, of_time) in bytes.iter_mut().zip(millis.to_be_bytes().into_iter().skip(2)) {
        *byte = of_time;
    }
    AuditEventId::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_of_an_instant_is_below_all_of_it_and_above_all_before() {
        let now = Timestamp::from_millis(1_800_000_000_123);
        assert_eq!(first_of(now).created_at(), now);
        assert!(AuditEventId::new(now) > first_of(now));
        assert!(AuditEventId::new(Timestamp::from_millis(1_800_000_000_122)) < first_of(now));
    }
}
