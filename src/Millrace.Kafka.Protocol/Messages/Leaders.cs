namespace Millrace.Kafka.Protocol;

/// <summary>The leader that a broker knows of, for a client that asked the wrong one (KIP-951).</summary>
public sealed class LeaderIdAndEpoch : IMessage
{
    public int LeaderId = -1;
    public int LeaderEpoch = -1;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref LeaderId);
        codec.Int32(ref LeaderEpoch);
        codec.Tags();
    }
}

/// <summary>Where a broker can be reached.</summary>
public sealed class NodeEndpoint : IMessage
{
    public int NodeId;
    public string Host = "";
    public int Port;
    public string? Rack;

    public void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct
    {
        codec.Int32(ref NodeId);
        codec.String(ref Host);
        codec.Int32(ref Port);
        codec.NullableString(ref Rack);
        codec.Tags();
    }
}
