using System.Collections.Frozen;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// One open connection to a broker: requests go out in the order of the calls, answers come back in the same order. When anything breaks,
/// the connection is over and every outstanding request fails; a new connection is somebody else's business.
/// </summary>
internal sealed class BrokerConnection : IAsyncDisposable
{
    private readonly record struct OutgoingFrame(FrameBuffer Frame, TaskCompletionSource? Sent);

    private readonly ClientContext _context;
    private readonly ILogger _logger;
    private readonly IKafkaTransport _transport;
    private readonly FrozenDictionary<ApiKey, (short Min, short Max)> _brokerVersions;
    private readonly CancellationTokenSource _stop = new();
    private readonly Channel<OutgoingFrame> _outgoing;
    private readonly SemaphoreSlim _inFlight;
    private readonly Queue<PendingRequest> _outstanding = new();
    private readonly Lock _gate = new();
    private KafkaException? _failure;
    private int _lastCorrelationId;
    private Task _loops = Task.CompletedTask;

    private BrokerConnection(
        BrokerAddress address,
        ClientContext context,
        IKafkaTransport transport,
        FrozenDictionary<ApiKey, (short Min, short Max)> brokerVersions,
        int maxInFlight)
    {
        Address = address;
        _context = context;
        _logger = context.Loggers.CreateLogger<BrokerConnection>();
        _transport = transport;
        _brokerVersions = brokerVersions;
        _inFlight = new SemaphoreSlim(maxInFlight);

        // Never full: a frame is written only by who holds one of as many permits.
        _outgoing = Channel.CreateBounded<OutgoingFrame>(new BoundedChannelOptions(maxInFlight));
    }

    public BrokerAddress Address { get; }

    public bool IsOpen => Volatile.Read(ref _failure) is null;

    /// <summary>Connects, and learns which versions the broker speaks.</summary>
    /// <param name="address">The broker.</param>
    /// <param name="context">What the client shares.</param>
    /// <param name="maxInFlight">How many requests may be outstanding; further ones wait.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="KafkaException">No connection, or no understanding.</exception>
    public static async Task<BrokerConnection> OpenAsync(
        BrokerAddress address, ClientContext context, int maxInFlight, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(context.Settings.ConnectTimeout, context.Time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        IKafkaTransport? transport = null;
        try
        {
            transport = await context.Connector.ConnectAsync(address, linked.Token);
            VersionNegotiation.Result result = await VersionNegotiation.RunAsync(transport, VersionNegotiation.FirstVersion, context, linked.Token);
            if (result.Versions is null)
            {
                // An old broker answers a version of ApiVersions that it does not know by closing the connection.
                await transport.DisposeAsync();
                transport = await context.Connector.ConnectAsync(address, linked.Token);
                result = await VersionNegotiation.RunAsync(transport, VersionNegotiation.OldestVersion, context, linked.Token);
            }

            FrozenDictionary<ApiKey, (short Min, short Max)> versions = result.Versions
                ?? throw new KafkaConnectionException($"{address} closed the connection when it was asked for its API versions.", result.Failure);
            var connection = new BrokerConnection(address, context, transport, versions, maxInFlight);
            transport = null;
            connection._loops = Task.WhenAll(connection.SendLoopAsync(), connection.ReceiveLoopAsync());
            return connection;
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new KafkaConnectionException(
                $"No connection to {address} within {context.Settings.ConnectTimeout} ({nameof(KafkaClientOptions.ConnectTimeout)}). Check that it is a Kafka broker and can be reached.");
        }
        finally
        {
            if (transport is not null)
            {
                await transport.DisposeAsync();
            }
        }
    }

    /// <summary>The newest version that both sides have.</summary>
    /// <exception cref="KafkaVersionException">There is none.</exception>
    public short VersionOf(ApiDefinition api, short lowest = 0)
    {
        short newest = ClientVersions.NewestOf(api);
        short ours = Math.Max(api.MinVersion, lowest);
        if (!_brokerVersions.TryGetValue(api.Key, out (short Min, short Max) theirs))
        {
            throw new KafkaVersionException($"{Address} does not offer {api.Key}, which this client needs in versions {ours} to {newest}.");
        }

        short version = Math.Min(newest, theirs.Max);
        if (version < theirs.Min || version < ours)
        {
            throw new KafkaVersionException(
                $"{Address} offers {api.Key} in versions {theirs.Min} to {theirs.Max}, this client needs {ours} to {newest}. Upgrade the older of the two.");
        }

        return version;
    }

    /// <summary>
    /// Sends a request and completes with its answer. Where fewer than the allowed number of requests are outstanding, its place in the
    /// order is settled when the call returns.
    /// </summary>
    /// <param name="request">The request.</param>
    /// <param name="timeout">How long the answer may take. Then the connection is closed, since later answers wait behind this one.</param>
    /// <param name="cancellationToken">Ends the wait; the answer is discarded when it comes.</param>
    /// <param name="version">The version to send; -1 takes the newest in common.</param>
    /// <param name="keepsFrame">Whether the answer holds slices of its frame that outlive the call.</param>
    public async Task<TResponse> SendAsync<TRequest, TResponse>(
        TRequest request,
        TimeSpan timeout,
        CancellationToken cancellationToken,
        short version = -1,
        bool keepsFrame = false)
        where TRequest : class, IRequest<TResponse>
        where TResponse : class, IMessage, new()
    {
        ApiDefinition api = TRequest.Api;
        short sentVersion = version >= 0 ? version : VersionOf(api);
        await _inFlight.WaitAsync(cancellationToken);
        var pending = new PendingRequest<TResponse>(api, sentVersion, Interlocked.Increment(ref _lastCorrelationId), keepsFrame);
        Enqueue(WriteFrame(request, pending.Version, pending.CorrelationId), pending, sent: null);
        try
        {
            return await pending.Response.WaitAsync(timeout, _context.Time, cancellationToken);
        }
        catch (TimeoutException)
        {
            var failure = new KafkaTimeoutException(
                $"{Address} did not answer {api.Key} within {timeout}. The connection is closed; the request may have been carried out.");
            Break(failure);
            throw failure;
        }
    }

    /// <summary>
    /// Sends a request that is not answered, and completes when the transport has taken it. A transport that does not within
    /// <paramref name="timeout"/> has a peer that reads no more: the connection is closed.
    /// </summary>
    public async Task SendWithoutResponseAsync<TRequest>(TRequest request, short version, TimeSpan timeout, CancellationToken cancellationToken)
        where TRequest : class, IRequest
    {
        await _inFlight.WaitAsync(cancellationToken);
        var sent = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Enqueue(WriteFrame(request, version, Interlocked.Increment(ref _lastCorrelationId)), pending: null, sent);
        try
        {
            await sent.Task.WaitAsync(timeout, _context.Time, cancellationToken);
        }
        catch (TimeoutException)
        {
            var failure = new KafkaTimeoutException(
                $"{Address} did not take {TRequest.Api.Key} within {timeout}. The connection is closed; the request may have been carried out.");
            Break(failure);
            throw failure;
        }
    }

    public async ValueTask DisposeAsync()
    {
        Break(new KafkaClosedException($"The connection to {Address} was closed by the client."));
        await _loops;
        _stop.Dispose();
    }

    private FrameBuffer WriteFrame<TRequest>(TRequest request, short version, int correlationId)
        where TRequest : class, IRequest
    {
        try
        {
            return MessageCodec.WriteRequest(request, version, correlationId, _context.Settings.ClientId);
        }
        catch
        {
            _inFlight.Release();
            throw;
        }
    }

    private void Enqueue(FrameBuffer frame, PendingRequest? pending, TaskCompletionSource? sent)
    {
        lock (_gate)
        {
            if (_failure is null)
            {
                // Both queues under one lock: answers are matched in the order in which frames leave.
                if (pending is not null)
                {
                    _outstanding.Enqueue(pending);
                }

                Invariant.Holds(_outgoing.Writer.TryWrite(new OutgoingFrame(frame, sent)), "every frame on its way holds a permit");
                return;
            }
        }

        // The permit goes on to the next caller that waits, so that each of them sees the failure.
        frame.Release();
        _inFlight.Release();
        throw Lost(_failure);
    }

    private async Task SendLoopAsync()
    {
        await Task.Yield();
        try
        {
            while (true)
            {
                OutgoingFrame outgoing = await _outgoing.Reader.ReadAsync(_stop.Token);
                try
                {
                    await _transport.SendAsync(outgoing.Frame, _stop.Token);
                }
                catch (Exception failure) when (outgoing.Sent is not null)
                {
                    outgoing.Sent.TrySetException(new KafkaConnectionException($"The connection to {Address} broke while sending.", failure));
                    throw;
                }

                if (outgoing.Sent is not null)
                {
                    _inFlight.Release();
                    outgoing.Sent.TrySetResult();
                }
            }
        }
        catch (Exception failure)
        {
            Break(failure);
        }
    }

    private async Task ReceiveLoopAsync()
    {
        await Task.Yield();
        PendingRequest? pending = null;
        try
        {
            while (true)
            {
                pending = null;
                FrameBuffer frame = await _transport.ReceiveAsync(_stop.Token);
                lock (_gate)
                {
                    _outstanding.TryDequeue(out pending);
                }

                bool isExpected = MessageCodec.TryReadCorrelationId(frame.Payload, out int correlationId) && pending?.CorrelationId == correlationId;
                if (!isExpected)
                {
                    frame.Release();
                    throw new KafkaProtocolException(
                        $"{Address} answered with correlation id {correlationId} where {pending?.CorrelationId.ToString() ?? "none"} was due. The connection is closed.");
                }

                // The permit before the answer: who has the answer may send at once, and finds its place in the order free. The other way
                // round it could wait for the permit, and two that wait do not go on in their order.
                _inFlight.Release();
                string? error = pending!.Complete(frame);
                if (error is not null)
                {
                    throw new KafkaProtocolException($"{Address} answered {pending.Api.Key} with bytes that cannot be read: {error}");
                }
            }
        }
        catch (Exception failure)
        {
            // The break before the answer: who learns of the failure no longer finds the connection open.
            KafkaException cause = Break(failure);
            pending?.Fail(failure as KafkaException ?? Lost(cause));
        }
    }

    /// <summary>Ends the connection, once. Returns what the failure is called from now on.</summary>
    private KafkaException Break(Exception cause)
    {
        KafkaException failure = cause as KafkaException ?? new KafkaConnectionException($"The connection to {Address} broke: {cause.Message}", cause);
        PendingRequest[] lost;
        lock (_gate)
        {
            if (_failure is not null)
            {
                return _failure;
            }

            _failure = failure;
            lost = [.. _outstanding];
            _outstanding.Clear();
            _outgoing.Writer.TryComplete();
        }

        if (failure is not KafkaClosedException)
        {
            LogMessages.ConnectionLost(_logger, Address, lost.Length, failure.Message);
        }

        _stop.Cancel();
        while (_outgoing.Reader.TryRead(out OutgoingFrame unsent))
        {
            unsent.Frame.Release();
            if (unsent.Sent is not null)
            {
                unsent.Sent.TrySetException(Lost(failure));
                _inFlight.Release();
            }
        }

        foreach (PendingRequest request in lost)
        {
            request.Fail(Lost(failure));
        }

        // One permit is enough: who gets it finds the failure and hands the permit on.
        _inFlight.Release(lost.Length + 1);
        _ = DisposeTransportAsync();
        return failure;
    }

    private async Task DisposeTransportAsync()
    {
        try
        {
            await _transport.DisposeAsync();
        }
        catch (Exception failure)
        {
            LogMessages.ConnectionCloseFailed(_logger, Address, failure);
        }
    }

    private KafkaException Lost(KafkaException cause) => cause is KafkaClosedException
        ? cause
        : new KafkaConnectionException($"The connection to {Address} was lost before the answer: {cause.Message}", cause);
}
