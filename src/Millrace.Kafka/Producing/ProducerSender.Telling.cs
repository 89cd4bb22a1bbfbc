using System.Diagnostics;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <content>What the producer tells of itself, to traces and metrics.</content>
internal sealed partial class ProducerSender
{
    private string ClientId => _context.Settings.ClientId;

    private async Task<Dictionary<TopicPartition, ProduceAnswer>> ExchangeAndTellAsync(
        ProduceBundle bundle,
        ProduceRequest request,
        Dictionary<TopicPartition, ProducerBatch> sent,
        CancellationToken cancellationToken)
    {
        Activity? activity = Diagnostics.StartSend(bundle.Address, ClientId, sent.Values);
        using Ending ending = activity.Ending();
        long start = _context.Time.GetTimestamp();
        string? errorType = null;
        try
        {
            Dictionary<TopicPartition, ProduceAnswer> answers = await ExchangeAsync(bundle, request, sent, cancellationToken);
            if (activity is not null)
            {
                TellAnswers(activity, answers);
            }

            return answers;
        }
        catch (Exception failure)
        {
            errorType = Diagnostics.SetFailed(activity, failure);
            throw;
        }
        finally
        {
            if (Diagnostics.OperationDuration.Enabled)
            {
                TagList tags = Diagnostics.Tags("send", Diagnostics.Single(sent.Keys.Select(partition => partition.Topic)), ClientId, errorType);
                tags.Add("server.address", bundle.Address.Host);
                tags.Add("server.port", bundle.Address.Port);
                Diagnostics.OperationDuration.Tell(_context.Time.GetElapsedTime(start).TotalSeconds, tags);
            }
        }
    }

    private static void TellAnswers(Activity activity, Dictionary<TopicPartition, ProduceAnswer> answers)
    {
        if (answers.Values.Select(answer => answer.Failure).FirstOrDefault(failure => failure is not null) is { } refused)
        {
            Diagnostics.SetFailed(activity, refused);
        }
        else if (answers.Count == 1 && answers.Values.First().BaseOffset is { } offset)
        {
            Diagnostics.SetOffset(activity, offset);
        }
    }

    private void CountSent(ProducerBatch batch, Exception? failure)
    {
        if (Diagnostics.SentMessages.Enabled)
        {
            string? errorType = failure is null ? null : Diagnostics.ErrorType(failure);
            Diagnostics.SentMessages.Tell(batch.RecordCount, Diagnostics.Tags("send", batch.Partition.Topic, ClientId, errorType));
        }
    }

    private void CountRetry(ProducerBatch batch, Exception? failure)
    {
        if (Diagnostics.Retries.Enabled)
        {
            Diagnostics.Retries.Tell(
                batch.RecordCount,
                Diagnostics.Tags("send", batch.Partition.Topic, ClientId, failure is null ? Diagnostics.ErrorType(ErrorCode.NetworkException) : Diagnostics.ErrorType(failure)));
        }
    }

    /// <summary>Batches leave, some of them for the first time.</summary>
    private void TellDeparture(IReadOnlyCollection<ProducerBatch> batches)
    {
        TellBuffer();
        if (!Diagnostics.QueueDuration.Enabled && !Diagnostics.BatchSize.Enabled && !Diagnostics.BatchRecords.Enabled)
        {
            return;
        }

        TimeSpan now = Now().Elapsed;
        foreach (ProducerBatch batch in batches.Where(batch => batch.AttemptCount == 1))
        {
            TagList tags = Diagnostics.Tags("send", batch.Partition.Topic, ClientId);
            Diagnostics.QueueDuration.Tell((now - batch.CreatedAt).TotalSeconds, tags);
            Diagnostics.BatchSize.Tell(batch.EstimatedByteCount, tags);
            Diagnostics.BatchRecords.Tell(batch.RecordCount, tags);
        }
    }

    private void TellBuffer()
    {
        if (!Diagnostics.BufferUsage.Enabled && !Diagnostics.BufferedRecords.Enabled)
        {
            return;
        }

        long byteCount;
        long recordCount;
        lock (_gate)
        {
            byteCount = _accumulator.UsedByteCount;
            recordCount = _accumulator.RecordCount;
        }

        TagList tags = Diagnostics.Tags("send", topic: null, ClientId);
        Diagnostics.BufferUsage.Tell(byteCount, tags);
        Diagnostics.BufferedRecords.Tell(recordCount, tags);
    }
}
