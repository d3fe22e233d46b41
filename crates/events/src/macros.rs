//! What makes a list of payloads an [`EventSet`](crate::set::EventSet), and a list of these the registry.

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
                        serde_json::to_value(event).map_err(|error| $crate::set::DecodeError::Payload {
                            event_type: stringify!($event), schema_version: found, source: error.into(),
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

/// Declares the kinds of stream, each with the type of its ids, its name in the log and its set of events.
macro_rules! streams {
    ($($(#[$doc:meta])* $kind:ident($key:ident, $name:literal, $set:path);)+) => {
        /// The kinds of stream in the log; one per aggregate.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize, ::schemars::JsonSchema)]
        pub enum StreamType { $(
            $(#[$doc])*
            #[serde(rename = $name)]
            $kind
        ),+ }

        impl StreamType {
            /// All kinds, in the order of the registry.
            pub const ALL: &'static [StreamType] = &[$(StreamType::$kind),+];

            /// The name in the log, in subjects and in addresses.
            pub const fn as_str(self) -> &'static str {
                match self { $(StreamType::$kind => $name),+ }
            }
        }

        impl ::std::str::FromStr for StreamType {
            type Err = $crate::ids::UnknownStreamType;
            fn from_str(name: &str) -> Result<Self, $crate::ids::UnknownStreamType> {
                match name {
                    $($name => Ok(StreamType::$kind),)+
                    other => Err($crate::ids::UnknownStreamType(other.to_owned())),
                }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize, ::schemars::JsonSchema)]
            #[serde(transparent)]
            pub struct $key(::uuid::Uuid);

            impl $key {
                /// The id that this UUID is.
                pub const fn new(id: ::uuid::Uuid) -> Self { Self(id) }
                /// The id as a plain UUID.
                pub const fn uuid(self) -> ::uuid::Uuid { self.0 }
            }
            impl From<::uuid::Uuid> for $key { fn from(id: ::uuid::Uuid) -> Self { Self(id) } }
            impl From<$key> for ::uuid::Uuid { fn from(id: $key) -> ::uuid::Uuid { id.0 } }
            impl ::std::str::FromStr for $key {
                type Err = ::uuid::Error;
                fn from_str(text: &str) -> Result<Self, ::uuid::Error> { text.parse().map(Self) }
            }
            impl ::std::fmt::Display for $key {
                fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result { self.0.fmt(formatter) }
            }
            impl $crate::ids::StreamKey for $key {
                const STREAM_TYPE: StreamType = StreamType::$kind;
                type Event = $set;
            }
            // The set says itself where it belongs; the two must agree.
            const _: () = assert!(<$set as $crate::set::EventSet>::STREAM_TYPE as usize == StreamType::$kind as usize);
        )+

        /// An event of any kind of stream, for readers that fold over several.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum AnyEvent { $(
            #[doc = concat!("An event of a `", $name, "` stream.")]
            $kind($set)
        ),+ }

        impl AnyEvent {
            /// Reads the event out of its envelope.
            ///
            /// # Errors
            /// [`DecodeError`](crate::set::DecodeError) where the type is unknown or the payload does not fit.
            pub fn from_envelope(envelope: &$crate::envelope::Envelope) -> Result<Self, $crate::set::DecodeError> {
                let (kind, version, payload) = (&envelope.event_type, envelope.schema_version, &envelope.payload);
                match envelope.stream.kind {
                    $(StreamType::$kind => <$set as $crate::set::EventSet>::decode(kind, version, payload).map(Self::$kind)),+
                }
            }
        }

        /// The contract of every event type, by stream.
        pub fn contracts() -> impl Iterator<Item = &'static $crate::set::EventContract> {
            [$(<$set as $crate::set::EventSet>::CONTRACTS),+].into_iter().flatten()
        }
    };
}
