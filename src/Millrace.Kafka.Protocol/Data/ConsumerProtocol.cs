using System.Diagnostics.CodeAnalysis;

namespace Millrace.Kafka.Protocol;

/// <summary>What a member of a consumer group says about itself: the metadata of a protocol in JoinGroup, which the broker does not look into.</summary>
public sealed class ConsumerProtocolSubscription : IVersionedData
{
    public List<string> Topics = [];
    public byte[]? UserData;

    /// <summary>Version 1 and later: what the member still owns, for cooperative rebalancing (KIP-429).</summary>
    public List<ConsumerProtocolTopicPartitions> OwnedPartitions = [];

    /// <summary>Version 2 and later: the generation in which the member owned them (KIP-792).</summary>
    public int GenerationId = -1;

    /// <summary>Version 3.</summary>
    public string? RackId;

    public static short MinVersion => 0;
    public static short MaxVersion => 3;
    public static short FirstFlexibleVersion => short.MaxValue;

    /// <summary>
    /// Reads what any client wrote. A newer version is read as the newest one known here. Some clients say version 1 and write the fields of version 0;
    /// where the fields of the stated version are not there, those of version 0 count.
    /// </summary>
    public static bool TryRead(
        ReadOnlyMemory<byte> bytes, [NotNullWhen(true)] out ConsumerProtocolSubscription? subscription, [NotNullWhen(false)] out string? error)
    {
        if (MessageCodec.TryReadData(bytes, acceptNewer: true, out subscription, out error)) return true;
        if (!MessageCodec.TryReadDataVersion(bytes, out short version) || version < 1) return false;
        var candidate = new ConsumerProtocolSubscription();
        var reader = new MessageReader(bytes[sizeof(short)..], isFlexible: false);
        candidate.Describe(ref reader, version: 0);
        if (reader.HasFailed) return false;
        (subscription, error) = (candidate, null);
        return true;
    }

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.StringArray(ref Topics);
        codec.NullableBytes(ref UserData);
        if (version >= 1) codec.Array(ref OwnedPartitions, version);
        if (version >= 2) codec.Int32(ref GenerationId);
        if (version >= 3) codec.NullableString(ref RackId);
        codec.Tags();
    }
}

/// <summary>What the leader of a consumer group assigns to a member: the assignment in SyncGroup, which the broker does not look into.</summary>
public sealed class ConsumerProtocolAssignment : IVersionedData
{
    public List<ConsumerProtocolTopicPartitions> AssignedPartitions = [];
    public byte[]? UserData;

    public static short MinVersion => 0;
    public static short MaxVersion => 3;
    public static short FirstFlexibleVersion => short.MaxValue;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref AssignedPartitions, version);
        codec.NullableBytes(ref UserData);
        codec.Tags();
    }
}

public sealed class ConsumerProtocolTopicPartitions : IMessage
{
    public string Topic = "";
    public List<int> Partitions = [];

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.String(ref Topic);
        codec.Int32Array(ref Partitions);
        codec.Tags();
    }
}

/// <summary>
/// What the members of the assignor <c>sticky</c> remember in <see cref="ConsumerProtocolSubscription.UserData"/>: what they had, and in which
/// generation. It has no version before it. Version 0 ends before the generation.
/// </summary>
public sealed class StickyUserData : IMessage
{
    public List<ConsumerProtocolTopicPartitions> PreviousAssignment = [];

    /// <summary>-1 in version 0.</summary>
    public int GenerationId = -1;

    public byte[] ToBytes()
    {
        var sizer = new MessageSizer(isFlexible: false);
        Describe(ref sizer, version: 1);
        byte[] bytes = new byte[sizer.ByteCount];
        var writer = new MessageWriter(bytes, isFlexible: false);
        Describe(ref writer, version: 1);
        return bytes;
    }

    /// <summary>Reads either version; false for anything else.</summary>
    public static bool TryRead(ReadOnlyMemory<byte> bytes, [NotNullWhen(true)] out StickyUserData? data)
    {
        for (short version = 1; version >= 0; version--)
        {
            var candidate = new StickyUserData();
            var reader = new MessageReader(bytes, isFlexible: false);
            candidate.Describe(ref reader, version);
            if (!reader.HasFailed)
            {
                data = candidate;
                return true;
            }
        }

        data = null;
        return false;
    }

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Array(ref PreviousAssignment, version);
        if (version >= 1) codec.Int32(ref GenerationId);
        codec.Tags();
    }
}
