namespace Millrace.Kafka.Protocol;

/// <summary>
/// A Kafka message, or a part of one. Its fields are public and it has one definition, <see cref="Describe"/>, which passes every field of a version
/// by reference to a codec; measuring, writing and reading all follow from it. A field that a version does not have keeps its default when read
/// and is left out when written.
/// </summary>
public interface IMessage
{
    void Describe<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct;
}

/// <summary>A message with tagged fields that are known here. Its <see cref="IMessage.Describe"/> ends in <c>codec.Tags(this, version)</c>.</summary>
public interface ITaggedMessage : IMessage
{
    /// <summary>
    /// Offers every known tagged field of a version, in rising order of tag:
    /// <c>if (codec.BeginTag(0, ClusterId is not null, out int mark)) { codec.NullableString(ref ClusterId); codec.EndTag(mark); }</c>.
    /// Called once for each tag that is read, and more than once for a message that is written.
    /// </summary>
    void DescribeTags<TCodec>(ref TCodec codec, short version)
        where TCodec : IMessageCodec, allows ref struct;
}

/// <summary>A response that may ask its client to pause before the next request on the connection (KIP-219).</summary>
public interface IThrottledResponse : IMessage
{
    int ThrottleMilliseconds { get; }
}

/// <summary>A request of some API.</summary>
public interface IRequest : IMessage
{
    static abstract ApiDefinition Api { get; }
}

/// <summary>A request, and the type of what answers it.</summary>
public interface IRequest<TResponse> : IRequest
    where TResponse : class, IMessage, new();

/// <summary>
/// A message that is not an API's: opaque bytes inside of another message, or a record's key or value. On the wire a 16-bit version precedes it.
/// </summary>
public interface IVersionedData : IMessage
{
    static abstract short MinVersion { get; }
    static abstract short MaxVersion { get; }

    /// <summary><see cref="short.MaxValue"/> where no version is flexible.</summary>
    static abstract short FirstFlexibleVersion { get; }
}
