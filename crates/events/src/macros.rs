//! The one macro that turns a list of payloads into an [`EventSet`](crate::set::EventSet).

/// Declares the events of one kind of stream.
///
/// `Name = 2, upcast some_fn` gives the current schema version and the
/// function that lifts older payloads.
#[macro_export]
macro_rules! event_set {
    (
        $(#[$doc:meta])*
        $vis:vis enum $set:ident in $stream_type:ident {
            $($(#[$event_doc:meta])* $event:ident = $version:literal $(, upcast $upcaster:path)?;)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis enum $set { $(
            #[doc = concat!("See [`", stringify!($event), "`].")]
            $(#[$event_doc])*
            $event($event)
        ),+ }

        $(impl From<$event> for $set {
            fn from(event: $event) -> Self { Self::$event(event) }
        })+

        impl $crate::set::EventSet for $set {
            const STREAM_TYPE: $crate::ids::StreamType = $crate::ids::StreamType::$stream_type;
            const CONTRACTS: &'static [$crate::set::EventContract] = &[$(
                $crate::set::EventContract {
                    stream_type: $crate::ids::StreamType::$stream_type,
                    event_type: stringify!($event),
                    schema_version: $version,
                    schema: |generator| generator.root_schema_for::<$event>(),
                    rewrite: |found, payload| {
                        let event: $event = $crate::set::decode_payload(
                            stringify!($event), $version, $crate::event_set!(@upcaster $($upcaster)?), found, payload,
                        )?;
                        serde_json::to_value(event).map_err(|source| $crate::set::DecodeError::Payload {
                            event_type: stringify!($event), schema_version: found, source,
                        })
                    },
                }
            ),+];

            fn event_type(&self) -> &'static str {
                match self { $(Self::$event(_) => stringify!($event)),+ }
            }

            fn schema_version(&self) -> u16 {
                match self { $(Self::$event(_) => $version),+ }
            }

            fn encode(&self) -> bytes::Bytes {
                match self { $(Self::$event(event) => $crate::set::encode_payload(event)),+ }
            }

            fn decode(event_type: &str, schema_version: u16, payload: &[u8]) -> Result<Self, $crate::set::DecodeError> {
                match event_type {
                    $(stringify!($event) => $crate::set::decode_payload(
                        stringify!($event), $version, $crate::event_set!(@upcaster $($upcaster)?), schema_version, payload,
                    ).map(Self::$event),)+
                    other => Err($crate::set::DecodeError::UnknownType {
                        stream_type: $crate::ids::StreamType::$stream_type,
                        event_type: other.to_owned(),
                    }),
                }
            }
        }
    };
    (@upcaster) => { None };
    (@upcaster $upcaster:path) => { Some($upcaster as $crate::set::Upcaster) };
}
