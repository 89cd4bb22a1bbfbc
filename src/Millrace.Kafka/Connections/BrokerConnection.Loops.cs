using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>The two loops of a connection, and its end.</summary>
internal sealed partial class BrokerConnection
{
    private async Task SendLoopAsync()
    {
        await _context.BeginAsync();
        try
        {
            while (true)
            {
                OutgoingFrame outgoing = await _outgoing.Reader.ReadAsync(_stop.Token);
                try
                {
                    if (MutedFor > TimeSpan.Zero)
                    {
                        await WaitUntilUnmutedAsync();
                    }

                    if (IsSessionDue)
                    {
                        await RenewSessionAsync();
                    }

                    Expect(outgoing.Pending);
                }
                catch (Exception failure)
                {
                    Abandon(outgoing, Break(failure));
                    return;
                }

                await SendAsync(outgoing);
            }
        }
        catch (Exception failure)
        {
            Break(failure);
        }
    }

    private async ValueTask SendAsync(OutgoingFrame outgoing)
    {
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

    /// <summary>Puts a request into the order of the answers, just before its frame leaves.</summary>
    private void Expect(PendingRequest? pending)
    {
        if (pending is null)
        {
            return;
        }

        lock (_gate)
        {
            if (_failure is not null)
            {
                throw _failure;
            }

            _outstanding.Enqueue(pending);
        }
    }

    private async ValueTask WaitUntilUnmutedAsync()
    {
        // Again, since an answer that comes meanwhile may ask for more.
        for (TimeSpan rest = MutedFor; rest > TimeSpan.Zero; rest = MutedFor)
        {
            // Rounded up: a timer that fires a fraction early would spin.
            await Task.Delay(TimeSpan.FromMilliseconds(Math.Ceiling(rest.TotalMilliseconds)), _context.Time, _stop.Token);
        }
    }

    /// <summary>Ends a request whose frame never left.</summary>
    private void Abandon(OutgoingFrame unsent, KafkaException cause)
    {
        unsent.Frame.Release();
        unsent.Sent?.TrySetException(Lost(cause, unsent.Pending));
        unsent.Pending?.Fail(Lost(cause, unsent.Pending));
        _inFlight.Release();
    }

    /// <summary>Lets nothing leave for so long, if it is an answer of a version in which that is the client's to do (KIP-219).</summary>
    private void Mute(ApiKey api, short version, int milliseconds)
    {
        if (milliseconds <= 0 || !Throttling.IsForClient(api, version))
        {
            return;
        }

        var pause = TimeSpan.FromMilliseconds(milliseconds);
        long until = _context.Time.GetTimestamp() + (long)(pause.TotalSeconds * _context.Time.TimestampFrequency);
        if (until > Volatile.Read(ref _mutedUntil))
        {
            Volatile.Write(ref _mutedUntil, until);
        }

        if (Diagnostics.ThrottleDuration.Enabled)
        {
            Diagnostics.ThrottleDuration.Tell(pause.TotalSeconds, Diagnostics.BrokerTags(Address, api));
        }

        LogMessages.ConnectionThrottled(_logger, Address, api, pause);
    }

    private async Task ReceiveLoopAsync()
    {
        await _context.BeginAsync();
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

                Volatile.Write(ref _lastUse, _context.Time.GetTimestamp());
                _hasAnswered = true;
                string? error = pending!.Read(frame, out int throttleMilliseconds);
                Mute(pending.Api.Key, pending.Version, throttleMilliseconds);

                // The pause and the permit before the answer: who has the answer may send at once, and finds its place in the order free. The
                // other way round it could wait for the permit, and two that wait do not go on in their order.
                if (pending.HoldsPermit)
                {
                    _inFlight.Release();
                }

                if (error is not null)
                {
                    throw new KafkaProtocolException($"{Address} answered {pending.Api.Key} with bytes that cannot be read: {error}");
                }

                pending.Complete();
            }
        }
        catch (Exception failure)
        {
            // The break before the answer: who learns of the failure no longer finds the connection open.
            KafkaException cause = Break(failure);
            pending?.Fail(failure as KafkaException ?? Lost(cause, pending));
        }
    }

    /// <summary>Ends the connection, once. Returns what the failure is called from now on.</summary>
    private KafkaException Break(Exception cause, bool onlyIfUnused = false)
    {
        KafkaException failure = cause as KafkaException ?? new KafkaConnectionException($"The connection to {Address} broke: {cause.Message}", cause);
        if (failure is KafkaConnectionException && !_hasAnswered && _context.Login is null && !onlyIfUnused)
        {
            failure = new KafkaConnectionException(
                $"{failure.Message} It has answered nothing but the question for its API versions: if its listener wants logins, set " +
                $"{nameof(KafkaClientOptions.Security)} to SASL (security.protocol, sasl.mechanism).",
                cause);
        }

        PendingRequest[] lost;
        lock (_gate)
        {
            if (_failure is not null)
            {
                return _failure;
            }

            if (onlyIfUnused && _inFlight.CurrentCount < _maxInFlight)
            {
                return failure;
            }

            _failure = failure;
            lost = [.. _outstanding];
            _outstanding.Clear();
            _outgoing.Writer.TryComplete();
        }

        if (onlyIfUnused)
        {
            LogMessages.ConnectionUnused(_logger, Address);
        }
        else if (failure is not KafkaClosedException)
        {
            LogMessages.ConnectionLost(_logger, Address, lost.Length, failure.Message);
        }

        if (_isCounted)
        {
            Diagnostics.Connections.Tell(-1, Diagnostics.BrokerTags(Address));
        }

        _stop.Cancel();
        while (_outgoing.Reader.TryRead(out OutgoingFrame unsent))
        {
            Abandon(unsent, failure);
        }

        foreach (PendingRequest request in lost)
        {
            request.Fail(Lost(failure, request));
        }

        // One permit is enough: who gets it finds the failure and hands the permit on.
        _inFlight.Release(lost.Count(request => request.HoldsPermit) + 1);
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

    private KafkaException Lost(KafkaException cause, PendingRequest? pending) => cause is KafkaClosedException
        ? cause
        : new KafkaConnectionException(
            $"The connection to {Address} was lost before the {(pending is null ? "request was sent" : $"answer to {pending.Api.Key}")}: {cause.Message}", cause);
}
