using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>The thin shell around <see cref="RecordAccumulator"/>: asks it what to do, does it, and tells it what came of it.</summary>
internal sealed partial class ProducerSender : RecordAccumulator.ICluster, IDisposable
{
    /// <summary>The first version that carries record batch version 2.</summary>
    private const short FirstProduceVersion = 3;

    /// <summary>The first version that makes partitions part of a transaction (KIP-890).</summary>
    private const short FirstAddingVersion = 12;

    private readonly ClientContext _context;
    private readonly ProducerSettings _settings;
    private readonly MetadataCache _metadata;
    private readonly ConnectionPool _pool;
    private readonly RecordAccumulator _accumulator;
    private readonly Lock _gate;
    private readonly ILogger _logger;
    private readonly WakeSignal _wake;
    private readonly HashSet<BrokerAddress> _connecting = [];
    private readonly long _start;
    private bool _isIdentityWanted;
    private bool _isDelivering;
    private CancellationToken _stop;

    public ProducerSender(
        ClientContext context,
        ProducerSettings settings,
        MetadataCache metadata,
        ConnectionPool pool,
        RecordAccumulator accumulator,
        Lock gate)
    {
        _context = context;
        _settings = settings;
        _metadata = metadata;
        _pool = pool;
        _accumulator = accumulator;
        _gate = gate;
        _logger = context.Loggers.CreateLogger<KafkaProducer>();

        // Who does not want to wait for more records does not want to wait for another thread either: a record that may leave leaves in the call that produces it.
        _wake = new WakeSignal(context.Time, runsInSet: settings.Linger == TimeSpan.Zero);
        _start = context.Time.GetTimestamp();
        metadata.Changed += Wake;
    }

    /// <summary>Set once, if the producer is transactional.</summary>
    public ProducerTransactions? Transactions { get; set; }

    public Moment Now() => new(_context.Time.GetElapsedTime(_start), _context.Time.GetUtcNow().ToUnixTimeMilliseconds());

    public void Wake()
    {
        using (_context.LeaveCallersContext())
        {
            _wake.Set();
        }
    }

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        _stop = cancellationToken;
        var effects = new ProducerEffects();
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            TimeSpan elapsed;
            do
            {
                effects.Clear();
                lock (_gate)
                {
                    Moment now = Now();
                    elapsed = now.Elapsed;
                    _accumulator.Drain(this, now, effects);
                }

                Apply(effects);
                foreach (ProduceBundle bundle in effects.Bundles)
                {
                    Send(bundle, cancellationToken);
                }
            }
            while (effects.Bundles.Count > 0);

            await _wake.WaitAsync(effects.WakeAt - elapsed, cancellationToken);
        }
    }

    /// <summary>Carries out what the accumulator wants, outside of its lock.</summary>
    public void Apply(ProducerEffects effects)
    {
        Deliver(effects);
        TellAdmitted(effects);
        GiveUp(effects.GivenUp);
        foreach ((TopicPartition partition, short epoch) in effects.Resets)
        {
            LogMessages.SequenceReset(_logger, partition, epoch);
        }

        foreach ((TopicPartition partition, int recordCount, int byteCount) in effects.Splits)
        {
            LogMessages.BatchSplit(_logger, recordCount, partition, byteCount);
        }

        if (effects.NeedsMetadata)
        {
            _metadata.RequestRefresh();
        }

        foreach (BrokerAddress address in effects.WantedConnections)
        {
            Connect(address);
        }

        if (effects.NeedsTransactionPartitions)
        {
            Transactions!.AddPartitions();
        }

        if (effects.NeedsIdentity)
        {
            WantIdentity();
        }

        if (effects.HasAdmitted)
        {
            Wake();
        }
    }

    /// <summary>Tells the records' callers. One thread at a time does, so that they are told in order; it goes on with what others bring meanwhile.</summary>
    private void Deliver(ProducerEffects effects)
    {
        ProducerAnswer answer = default;
        bool isFirst = true;
        while (true)
        {
            lock (_gate)
            {
                if (isFirst && _isDelivering)
                {
                    return;
                }

                if (!isFirst)
                {
                    _accumulator.EndAnswer(answer, Now(), effects);
                }

                _isDelivering = _accumulator.TryTakeAnswer(out answer);
                if (!_isDelivering)
                {
                    return;
                }
            }

            isFirst = false;
            TellAdmitted(effects);
            Tell(answer);
        }
    }

    private static void TellAdmitted(ProducerEffects effects)
    {
        foreach (ProduceOperation admission in effects.Admitted)
        {
            admission.Complete(default);
        }

        effects.Admitted.Clear();
    }

    private void Tell(ProducerAnswer answer)
    {
        ProducerBatch batch = answer.Batch;
        if (answer.Failure is { } failure)
        {
            LogMessages.BatchFailed(_logger, batch.RecordCount, batch.Partition, failure.Message);
        }

        CountSent(batch, answer.Failure);
        if (batch.Answer(answer.BaseOffset, answer.Timestamp, answer.Failure) is { } thrown)
        {
            LogMessages.DeliveryHandlerFailed(_logger, batch.Partition, thrown);
        }
    }

    private void GiveUp(List<(WaitingRecord Waiting, Exception Failure)> givenUp)
    {
        foreach ((WaitingRecord waiting, Exception failure) in givenUp)
        {
            if (waiting.Admission is { } admission)
            {
                admission.Fail(failure);
            }
            else if (waiting.Delivery.Handler is { } handler)
            {
                TellGivenUp(handler, new DeliveryReport(new TopicPartition(waiting.Topic, -1), new Offset(-1), null, failure, waiting.Delivery.Tag));
            }
        }

        if (givenUp.Count > 0)
        {
            lock (_gate)
            {
                givenUp.ForEach(item => _accumulator.EndWait(item.Waiting));
            }
        }
    }

    private void TellGivenUp(IDeliveryHandler handler, in DeliveryReport report)
    {
        try
        {
            handler.OnDelivered(report);
        }
        catch (Exception thrown)
        {
            LogMessages.DeliveryHandlerFailed(_logger, report.TopicPartition, thrown);
        }
    }

    public void FailAll(Exception failure)
    {
        var effects = new ProducerEffects();
        lock (_gate)
        {
            _accumulator.FailAll(failure, effects);
        }

        Apply(effects);
    }

    bool RecordAccumulator.ICluster.TryGetLeader(TopicPartition partition, out int nodeId, out BrokerAddress address)
    {
        bool isKnown = _metadata.View.TryGetLeader(partition, out BrokerDescription? leader, out _);
        nodeId = leader?.Id ?? -1;
        address = leader?.Address ?? default;
        return isKnown;
    }

    bool RecordAccumulator.ICluster.IsConnected(BrokerAddress address) => _pool.Find(address, ConnectionPurpose.Produce) is not null;

    public void Dispose()
    {
        _metadata.Changed -= Wake;
        _wake.Dispose();
    }

    private void Connect(BrokerAddress address)
    {
        lock (_connecting)
        {
            if (!_connecting.Add(address))
            {
                return;
            }
        }

        _ = ConnectAsync();

        async Task ConnectAsync()
        {
            try
            {
                await _pool.GetAsync(address, ConnectionPurpose.Produce, CancellationToken.None);
            }
            catch (KafkaException)
            {
                // The leader may have moved, or the broker may be back under another address.
                _metadata.RequestRefresh();

                // One that has refused the login is not asked again at once: until then its batches do not ask for it either.
                if (_context.Refusals.RestOf(address) is var rest && rest > TimeSpan.Zero)
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(Math.Ceiling(rest.TotalMilliseconds)), _context.Time, _stop).ConfigureAwait(Awaiting.Quietly);
                }
            }
            finally
            {
                lock (_connecting)
                {
                    _connecting.Remove(address);
                }
            }

            Wake();
        }
    }

    /// <summary>Sends one request. Its place in the connection's order is settled when the method returns.</summary>
    private void Send(ProduceBundle bundle, CancellationToken cancellationToken)
    {
        var request = new ProduceRequest
        {
            TransactionalId = _settings.TransactionalId,
            Acks = (short)_settings.Acks,
            TimeoutMilliseconds = (int)_context.Settings.RequestTimeout.TotalMilliseconds,
        };
        var sent = new Dictionary<TopicPartition, ProducerBatch>();
        var effects = new ProducerEffects();
        foreach (ProducerBatch batch in bundle.Batches)
        {
            try
            {
                AddToRequest(request, batch.Partition, batch.Seal(isTransactional: _settings.TransactionalId is not null));
                sent.Add(batch.Partition, batch);
            }
            catch (Exception failure)
            {
                // Compression can fail, for want of a library for instance. The batch never leaves.
                lock (_gate)
                {
                    _accumulator.Settle(batch, new ProduceAnswer(ProduceVerdict.Refused, Failure: failure), Now(), effects);
                }
            }
        }

        Apply(effects);
        TellDeparture(sent.Values);
        _ = SendAsync(bundle, request, sent, cancellationToken);
    }

    private static void AddToRequest(ProduceRequest request, TopicPartition partition, ReadOnlyMemory<byte> records)
    {
        ProduceTopic? topic = request.Topics.Find(candidate => candidate.Name == partition.Topic);
        if (topic is null)
        {
            topic = new ProduceTopic { Name = partition.Topic };
            request.Topics.Add(topic);
        }

        topic.Partitions.Add(new ProducePartition { Index = partition.Partition, Records = records });
    }

    private async Task SendAsync(
        ProduceBundle bundle,
        ProduceRequest request,
        Dictionary<TopicPartition, ProducerBatch> sent,
        CancellationToken cancellationToken)
    {
        Dictionary<TopicPartition, ProduceAnswer> answers = [];
        KafkaException? failure = null;
        try
        {
            if (sent.Count > 0)
            {
                answers = await (Diagnostics.IsTellingOperations
                    ? ExchangeAndTellAsync(bundle, request, sent, cancellationToken)
                    : ExchangeAsync(bundle, request, sent, cancellationToken));
            }
        }
        catch (KafkaException caught)
        {
            failure = caught;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            failure = new KafkaClosedException($"The producer was closed before {bundle.Address} answered Produce; the records may or may not be written.");
        }
        catch (Exception caught)
        {
            // A listener to traces or meters has failed on the way, for instance: whatever it was, each batch is settled, or its partition would wait for it for ever.
            failure = new KafkaConnectionException($"Produce to {bundle.Address} failed: {caught.Message}", caught);
        }

        var effects = new ProducerEffects();
        lock (_gate)
        {
            _accumulator.EndRequest(bundle.NodeId);
            foreach ((TopicPartition partition, ProducerBatch batch) in sent)
            {
                ProduceAnswer answer = answers.TryGetValue(partition, out ProduceAnswer known) ? known : Unanswered(batch, failure, bundle.Address);
                if (answer.Verdict is ProduceVerdict.RetryNotWritten or ProduceVerdict.RetryPerhapsWritten)
                {
                    ErrorCode error = (answer.Failure as KafkaException)?.ErrorCode ?? ErrorCode.NetworkException;
                    LogMessages.BatchRetried(_logger, batch.RecordCount, partition, batch.AttemptCount, error);
                    CountRetry(batch, answer.Failure);
                }

                _accumulator.Settle(batch, answer, Now(), effects);
            }
        }

        Apply(effects);
        TellBuffer();
        Wake();
    }

    private async Task<Dictionary<TopicPartition, ProduceAnswer>> ExchangeAsync(
        ProduceBundle bundle,
        ProduceRequest request,
        Dictionary<TopicPartition, ProducerBatch> sent,
        CancellationToken cancellationToken)
    {
        BrokerConnection connection = _pool.Find(bundle.Address, ConnectionPurpose.Produce)
            ?? throw new KafkaConnectionException($"The connection to {bundle.Address} was lost before Produce was sent.");
        short version = VersionOn(connection);
        if (_settings.Acks == Acks.None)
        {
            await connection.SendWithoutResponseAsync(request, version, _context.Settings.RequestTimeout, cancellationToken);
            return sent.Keys.ToDictionary(partition => partition, _ => new ProduceAnswer(ProduceVerdict.Written));
        }

        ProduceResponse response = await connection.SendAsync<ProduceRequest, ProduceResponse>(
            request, _context.Settings.RequestTimeout, cancellationToken, version);
        var answers = new Dictionary<TopicPartition, ProduceAnswer>();
        foreach (ProduceTopicResponse topic in response.Topics)
        {
            foreach (ProducePartitionResponse partition in topic.Partitions)
            {
                var name = new TopicPartition(topic.Name, partition.Index);
                if (sent.TryGetValue(name, out ProducerBatch? batch))
                {
                    answers[name] = Judge(batch, partition, bundle.Address);
                    _metadata.TryUpdateLeader(name, partition.CurrentLeader, response.NodeEndpoints);
                }
            }
        }

        return answers;
    }

    /// <summary>The version decides whether the broker adds partitions to a transaction by itself.</summary>
    private short VersionOn(BrokerConnection connection) => Transactions is { IsVersion2: true }
        ? connection.VersionOf(ProduceRequest.Api, FirstAddingVersion)
        : Math.Min(connection.VersionOf(ProduceRequest.Api, FirstProduceVersion), (short)(FirstAddingVersion - 1));

    private static ProduceAnswer Judge(ProducerBatch batch, ProducePartitionResponse response, BrokerAddress address)
    {
        ProduceVerdict verdict = ProduceVerdicts.Of(response.ErrorCode);
        if (verdict is ProduceVerdict.Written)
        {
            DateTimeOffset? timestamp = response.LogAppendTime >= 0 ? ConsumerRecord.ToTime(response.LogAppendTime) : null;
            return new ProduceAnswer(verdict, response.BaseOffset >= 0 ? new Offset(response.BaseOffset) : null, timestamp);
        }

        string where = $"{address} answered Produce of {batch.RecordCount} records for {batch.Partition} (attempt {batch.AttemptCount})";
        string what = $"{KafkaErrors.Describe(response.ErrorCode)}{(response.ErrorMessage is { Length: > 0 } text ? " " + text : "")}";
        string fate = verdict switch
        {
            ProduceVerdict.RetryPerhapsWritten => "This attempt may have written them.",
            ProduceVerdict.RetryNotWritten => "This attempt has written none of them.",
            _ => batch.MayBeWritten ? "An earlier attempt may have written them." : "They are not written.",
        };
        Exception? failure = verdict switch
        {
            ProduceVerdict.Duplicate => null,
            ProduceVerdict.SequenceGap or ProduceVerdict.UnknownProducer or ProduceVerdict.StaleEpoch => new KafkaProducerStateException(
                $"{where}: {what} " + (batch.MayBeWritten
                    ? "Whether an earlier attempt wrote them cannot be told any more, so they are not sent again. Look into the partition, then decide."
                    : "They are not written."),
                response.ErrorCode),
            _ when response.ErrorCode is ErrorCode.MessageTooLarge or ErrorCode.RecordListTooLarge => new KafkaRecordTooLargeException(
                $"{where}: {what} Lower {nameof(ProducerOptions.BatchByteCount)} (the batch has {batch.EstimatedByteCount} bytes) or raise the topic's max.message.bytes. {fate}"),
            _ => new KafkaBrokerException($"{where}: {what} {fate}", response.ErrorCode),
        };
        return new ProduceAnswer(verdict, Failure: failure);
    }

    private static ProduceAnswer Unanswered(ProducerBatch batch, KafkaException? failure, BrokerAddress address) => failure switch
    {
        KafkaVersionException => new ProduceAnswer(ProduceVerdict.Refused, Failure: failure),
        null => new ProduceAnswer(
            ProduceVerdict.RetryPerhapsWritten,
            Failure: new KafkaProtocolException($"{address} left {batch.Partition} out of its answer to Produce.")),
        _ => new ProduceAnswer(ProduceVerdict.RetryPerhapsWritten, Failure: failure),
    };

    private void WantIdentity()
    {
        lock (_connecting)
        {
            if (_isIdentityWanted)
            {
                return;
            }

            _isIdentityWanted = true;
        }

        _ = ObtainIdentityAsync();
    }

    /// <summary>
    /// Asks any broker for a producer id, until one answers; records that wait for it run out of time by themselves. A broker that refuses, or that is not trusted, does not stand for the
    /// others: one of them has answered for the metadata.
    /// </summary>
    private async Task ObtainIdentityAsync()
    {
        for (int failureCount = 0; ;)
        {
            KafkaException? refusal = null;
            bool isRefusedByAll = true;
            foreach (BrokerAddress address in _metadata.Candidates())
            {
                try
                {
                    BrokerConnection connection = await _pool.GetAsync(address, ConnectionPurpose.General, CancellationToken.None);
                    InitProducerIdResponse response = await connection.SendAsync<InitProducerIdRequest, InitProducerIdResponse>(
                        new InitProducerIdRequest { TransactionalId = null, TransactionTimeoutMilliseconds = int.MaxValue },
                        _context.Settings.RequestTimeout,
                        CancellationToken.None);
                    if (response.ErrorCode == ErrorCode.None)
                    {
                        FinishIdentity(new ProducerIdentity(response.ProducerId, response.ProducerEpoch));
                        return;
                    }

                    if (!KafkaErrors.IsRetriable(response.ErrorCode))
                    {
                        FailIdentity(new KafkaBrokerException(
                            $"{address} refused InitProducerId: {KafkaErrors.Describe(response.ErrorCode)} The records that wait for it are not written. " +
                            $"Without it, set {nameof(ProducerOptions.EnableIdempotence)} to false.",
                            response.ErrorCode));
                        return;
                    }

                    isRefusedByAll = false;
                }
                catch (KafkaException failure) when (failure.IsTransient || failure is KafkaProtocolException)
                {
                    isRefusedByAll = false;
                    LogMessages.ProducerIdentityFailed(_logger, _context.RetryBackoff.After(failureCount + 1), failure.Message);
                }
                catch (KafkaException failure) when (failure is not KafkaClosedException)
                {
                    refusal ??= failure;
                }
                catch (KafkaClosedException failure)
                {
                    FailIdentity(failure);
                    return;
                }
            }

            if (isRefusedByAll && refusal is not null)
            {
                FailIdentity(refusal);
                return;
            }

            await Task.Delay(_context.RetryBackoff.After(++failureCount), _context.Time);
        }
    }

    private void FinishIdentity(ProducerIdentity identity)
    {
        LogMessages.ProducerIdentityObtained(_logger, identity.Id, identity.Epoch);
        lock (_gate)
        {
            _accumulator.SetIdentity(identity);
        }

        lock (_connecting)
        {
            _isIdentityWanted = false;
        }

        Wake();
    }

    /// <summary>No identity is to be had: what waits for one fails, and the next record tries again. Partitions that have one go on.</summary>
    private void FailIdentity(KafkaException failure)
    {
        lock (_connecting)
        {
            _isIdentityWanted = false;
        }

        lock (_gate)
        {
            _accumulator.FailWithoutIdentity(failure);
        }

        Apply(new ProducerEffects());
        Wake();
    }
}
