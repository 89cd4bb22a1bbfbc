namespace Millrace.Kafka.Protocol;

/// <summary>
/// What both sides must know about an API before they can read a frame of it: its key, the versions that are defined here, and the first version
/// with compact lengths and tagged fields (KIP-482).
/// </summary>
public sealed record ApiDefinition(ApiKey Key, short MinVersion, short MaxVersion, short FirstFlexibleVersion)
{
    public bool Supports(short version) => version >= MinVersion && version <= MaxVersion;

    public bool IsFlexible(short version) => version >= FirstFlexibleVersion;

    /// <summary>Version 1 has a client id; version 2 adds tagged fields.</summary>
    public short RequestHeaderVersion(short version) => (short)(IsFlexible(version) ? 2 : 1);

    /// <summary>Version 1 adds tagged fields. ApiVersions keeps version 0 for ever: a client reads it before it knows what the broker speaks.</summary>
    public short ResponseHeaderVersion(short version) => (short)(IsFlexible(version) && Key != ApiKey.ApiVersions ? 1 : 0);
}
