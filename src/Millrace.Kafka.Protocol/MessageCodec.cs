using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Millrace.Kafka.Protocol;

/// <summary>
/// Whole frames and messages to bytes and back. Writing throws on what the caller did wrong; reading never throws on what the bytes hold, and says
/// in <c>error</c> what is wrong with which field at which byte.
/// </summary>
/// <remarks>
/// <code>
/// request frame   int32 size, int16 key, int16 version, int32 correlation id, nullable string client id (never compact), [tagged fields], body
/// response frame  int32 size, int32 correlation id, [tagged fields], body
/// </code>
/// Bytes that follow the last field of a response are an error. Those of a request are skipped, as Apache Kafka's brokers do: librdkafka since 2.0
/// asks for all topics in three bytes more than the request has (a count of four bytes where the compact one takes a single byte).
/// </remarks>
public static class MessageCodec
{
    /// <summary>Key, version and correlation id.</summary>
    private const int FixedRequestHeaderByteCount = 8;

    /// <summary>
    /// Elements in all arrays of one request, such as topics and partitions. Far above what a client sends, and what it costs to read them stays
    /// in the tens of megabytes.
    /// </summary>
    public const int MaximumRequestItemCount = 1 << 18;

    /// <summary>A whole request frame; the caller owns it. What the version cannot carry is left out.</summary>
    /// <exception cref="ArgumentException">The version is not defined here, or a field is longer than the version can carry.</exception>
    public static FrameBuffer WriteRequest<TRequest>(TRequest request, short version, int correlationId, string? clientId)
        where TRequest : IRequest
    {
        ArgumentNullException.ThrowIfNull(request);
        ApiDefinition api = TRequest.Api;
        ThrowIfUnsupported(api, version);
        bool isFlexible = api.IsFlexible(version);

        // The client id has a 16-bit length in every version, so a codec that is not flexible handles it.
        var headerSizer = new MessageSizer(isFlexible: false);
        headerSizer.NullableString(ref clientId, "client id");
        int headerByteCount = FixedRequestHeaderByteCount + headerSizer.ByteCount + (isFlexible ? 1 : 0);
        FrameBuffer frame = RentFrame(request, version, isFlexible, headerByteCount);
        Span<byte> header = frame.Bytes.Span[FrameBuffer.SizePrefixByteCount..];
        BinaryPrimitives.WriteInt16BigEndian(header, (short)api.Key);
        BinaryPrimitives.WriteInt16BigEndian(header[2..], version);
        BinaryPrimitives.WriteInt32BigEndian(header[4..], correlationId);
        var headerWriter = new MessageWriter(header[FixedRequestHeaderByteCount..], isFlexible: false);
        headerWriter.NullableString(ref clientId);
        if (isFlexible) header[headerByteCount - 1] = 0;
        WriteBody(request, version, isFlexible, header[headerByteCount..]);
        return frame;
    }

    /// <summary>A whole response frame; the caller owns it. What the version cannot carry is left out.</summary>
    /// <exception cref="ArgumentException">The version is not defined here, or a field is longer than the version can carry.</exception>
    public static FrameBuffer WriteResponse(IMessage response, ApiDefinition api, short version, int correlationId) =>
        WriteResponse(response, api, version, correlationId, detached: null);

    /// <summary>As the other, of a response whose records may lie elsewhere.</summary>
    /// <param name="detached">Gets the places, in rising order, at which bytes go that are not in the frame. The size prefix counts them.</param>
    public static FrameBuffer WriteResponse(
        IMessage response, ApiDefinition api, short version, int correlationId, List<DetachedPart>? detached)
    {
        ArgumentNullException.ThrowIfNull(response);
        ArgumentNullException.ThrowIfNull(api);
        ThrowIfUnsupported(api, version);
        bool hasHeaderTags = api.ResponseHeaderVersion(version) >= 1;
        int headerByteCount = sizeof(int) + (hasHeaderTags ? 1 : 0);
        FrameBuffer frame = RentFrame(response, version, api.IsFlexible(version), headerByteCount);
        Span<byte> header = frame.Bytes.Span[FrameBuffer.SizePrefixByteCount..];
        BinaryPrimitives.WriteInt32BigEndian(header, correlationId);
        if (hasHeaderTags) header[headerByteCount - 1] = 0;
        WriteBody(response, version, api.IsFlexible(version), header[headerByteCount..], detached);
        MoveToFrame(detached, FrameBuffer.SizePrefixByteCount + headerByteCount);
        return frame;
    }

    /// <summary>
    /// Reads the header of a frame's payload. Key and version may be unknown: then only the header's fields mean something, not where the body starts.
    /// </summary>
    public static bool TryReadRequestHeader(
        ReadOnlyMemory<byte> payload, out RequestHeader header, out int bodyStart, [NotNullWhen(false)] out string? error)
    {
        short version = 0;
        ApiKey key = default;
        int correlationId = 0;
        string? clientId = null;
        var reader = new MessageReader(payload, isFlexible: false);
        reader.Key(ref key, "api key");
        reader.Int16(ref version, "api version");
        reader.Int32(ref correlationId, "correlation id");
        reader.NullableString(ref clientId, "client id");
        header = new RequestHeader(key, version, correlationId, clientId);
        bodyStart = reader.Position;
        error = reader.Failure;
        if (error is not null) return false;
        if (KafkaApis.Find(key) is not { } api || api.RequestHeaderVersion(version) < 2) return true;

        var tags = new MessageReader(payload[bodyStart..], isFlexible: true);
        tags.Tags();
        bodyStart += tags.Position;
        error = tags.Failure;
        return error is null;
    }

    /// <summary>The id by which a client finds the request that a response answers.</summary>
    public static bool TryReadCorrelationId(ReadOnlyMemory<byte> payload, out int correlationId) =>
        BinaryPrimitives.TryReadInt32BigEndian(payload.Span, out correlationId);

    /// <summary>
    /// Reads a request's body: a frame's payload from where its header ends. One with more than <see cref="MaximumRequestItemCount"/> elements is refused;
    /// bytes after its last field are skipped.
    /// </summary>
    public static bool TryReadRequest<TRequest>(
        ReadOnlyMemory<byte> body, short version, [NotNullWhen(true)] out TRequest? request, [NotNullWhen(false)] out string? error)
        where TRequest : class, IRequest, new() =>
        TryRead(body, TRequest.Api, version, MaximumRequestItemCount, mayHaveMore: true, out request, out error);

    /// <summary>
    /// Reads a response to a request that was sent in <paramref name="version"/>: a frame's whole payload, its header included.
    /// </summary>
    public static bool TryReadResponse<TResponse>(
        ReadOnlyMemory<byte> payload,
        ApiDefinition api,
        short version,
        out int correlationId,
        [NotNullWhen(true)] out TResponse? response,
        [NotNullWhen(false)] out string? error)
        where TResponse : class, IMessage, new()
    {
        ArgumentNullException.ThrowIfNull(api);
        correlationId = 0;
        response = null;
        var header = new MessageReader(payload, isFlexible: api.ResponseHeaderVersion(version) >= 1);
        header.Int32(ref correlationId, "correlation id");
        header.Tags();
        error = header.Failure;
        return error is null && TryRead(payload[header.Position..], api, version, out response, out error);
    }

    /// <summary>Reads one whole message.</summary>
    public static bool TryRead<TMessage>(
        ReadOnlyMemory<byte> body,
        ApiDefinition api,
        short version,
        [NotNullWhen(true)] out TMessage? message,
        [NotNullWhen(false)] out string? error)
        where TMessage : class, IMessage, new() =>
        TryRead(body, api, version, maximumItemCount: int.MaxValue, mayHaveMore: false, out message, out error);

    private static bool TryRead<TMessage>(
        ReadOnlyMemory<byte> body,
        ApiDefinition api,
        short version,
        int maximumItemCount,
        bool mayHaveMore,
        [NotNullWhen(true)] out TMessage? message,
        [NotNullWhen(false)] out string? error)
        where TMessage : class, IMessage, new()
    {
        ArgumentNullException.ThrowIfNull(api);
        message = null;
        if (!api.Supports(version))
        {
            error = $"{api.Key} version {version} is not one of {api.MinVersion} to {api.MaxVersion}.";
            return false;
        }

        var reader = new MessageReader(body, api.IsFlexible(version), maximumItemCount);
        var candidate = new TMessage();
        candidate.Describe(ref reader, version);
        if (!mayHaveMore) reader.ExpectEnd();
        error = reader.Failure is { } failure ? $"{typeof(TMessage).Name} version {version}, {failure}" : null;
        if (error is null) message = candidate;
        return error is null;
    }

    /// <summary>Writes data with its version before it.</summary>
    /// <exception cref="ArgumentException">The version is not defined here, or a field is longer than the version can carry.</exception>
    public static byte[] WriteData<TData>(TData data, short version)
        where TData : IVersionedData
    {
        ArgumentNullException.ThrowIfNull(data);
        if (version < TData.MinVersion || version > TData.MaxVersion)
        {
            throw new ArgumentException($"{typeof(TData).Name} version {version} is not one of {TData.MinVersion} to {TData.MaxVersion}.", nameof(version));
        }

        bool isFlexible = version >= TData.FirstFlexibleVersion;
        byte[] bytes = new byte[sizeof(short) + SizeOf(data, version, isFlexible).ByteCount];
        BinaryPrimitives.WriteInt16BigEndian(bytes, version);
        WriteBody(data, version, isFlexible, bytes.AsSpan(sizeof(short)));
        return bytes;
    }

    /// <summary>The version before data, which tells keys of the offsets topic apart.</summary>
    public static bool TryReadDataVersion(ReadOnlyMemory<byte> bytes, out short version) =>
        BinaryPrimitives.TryReadInt16BigEndian(bytes.Span, out version);

    /// <summary>
    /// Reads data that has its version before it. Other programs write it, so it is read as they read ours: what follows the last field is skipped,
    /// and <paramref name="acceptNewer"/> reads a version above the newest one that is defined here as that one, as members of a group must.
    /// </summary>
    public static bool TryReadData<TData>(
        ReadOnlyMemory<byte> bytes, bool acceptNewer, [NotNullWhen(true)] out TData? data, [NotNullWhen(false)] out string? error)
        where TData : class, IVersionedData, new()
    {
        data = null;
        if (!TryReadDataVersion(bytes, out short version))
        {
            error = $"{typeof(TData).Name}: needs 2 bytes for its version, there are {bytes.Length}.";
            return false;
        }

        if (acceptNewer) version = Math.Min(version, TData.MaxVersion);
        if (version < TData.MinVersion || version > TData.MaxVersion)
        {
            error = $"{typeof(TData).Name}: version {version} is not one of {TData.MinVersion} to {TData.MaxVersion}.";
            return false;
        }

        var reader = new MessageReader(bytes[sizeof(short)..], version >= TData.FirstFlexibleVersion);
        var candidate = new TData();
        candidate.Describe(ref reader, version);
        error = reader.Failure is { } failure ? $"{typeof(TData).Name} version {version}, {failure}" : null;
        if (error is null) data = candidate;
        return error is null;
    }

    private static FrameBuffer RentFrame(IMessage message, short version, bool isFlexible, int headerByteCount)
    {
        MessageSizer size = SizeOf(message, version, isFlexible);
        int byteCount = size.ByteCount - size.DetachedByteCount;
        return FrameBuffer.Rent(checked(FrameBuffer.SizePrefixByteCount + headerByteCount + byteCount), size.DetachedByteCount);
    }

    private static MessageSizer SizeOf(IMessage message, short version, bool isFlexible)
    {
        var sizer = new MessageSizer(isFlexible);
        message.Describe(ref sizer, version);
        return sizer;
    }

    /// <summary>The body's writer counts from the body; the sender counts from the frame's first byte.</summary>
    private static void MoveToFrame(List<DetachedPart>? detached, int bodyPosition)
    {
        foreach (ref DetachedPart part in CollectionsMarshal.AsSpan(detached)) part = part with { Position = part.Position + bodyPosition };
    }

    private static void WriteBody(IMessage message, short version, bool isFlexible, Span<byte> target, List<DetachedPart>? detached = null)
    {
        var writer = new MessageWriter(target, isFlexible, detached);
        message.Describe(ref writer, version);
        if (writer.Position != target.Length)
        {
            throw new InvalidOperationException(
                $"{message.GetType().Name} version {version} was measured with {target.Length} bytes and written with {writer.Position}.");
        }
    }

    private static void ThrowIfUnsupported(ApiDefinition api, short version)
    {
        if (!api.Supports(version))
        {
            throw new ArgumentException($"{api.Key} version {version} is not one of {api.MinVersion} to {api.MaxVersion}.", nameof(version));
        }
    }
}
