//! Ids of events: a UUIDv7 that ends in the event's position.
//!
//! RFC 9562 leaves a UUIDv7 74 bits after its time to be random or counted
//! (section 6.2). Here the first 12 are those of a counter that begins at random
//! in every millisecond, and the other 62 are the position, so an event is found
//! by its id without an index (docs/adr/0016-what-the-log-need-not-keep-twice.md).

use uuid::Uuid;

/// The bits that hold the position.
const POSITION: u128 = (1 << 62) - 1;

/// A new id for the event at `position`.
pub fn new(position: u64) -> Uuid {
    Uuid::from_u128(Uuid::now_v7().as_u128() & !POSITION | u128::from(position) & POSITION)
}

/// Where the event is if it has an id of [`new`].
pub fn position(id: Uuid) -> u64 {
    (id.as_u128() & POSITION) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_its_time_and_position() {
        let before = Uuid::now_v7();
        let id = new(1_234_567);
        assert_eq!(position(id), 1_234_567);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        let millis = |id: Uuid| id.as_u128() >> 80;
        assert!(millis(before) <= millis(id) && millis(id) <= millis(Uuid::now_v7()));
    }
}
