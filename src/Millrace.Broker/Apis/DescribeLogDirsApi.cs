using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>DescribeLogDirs (key 35, versions 0-4): the one data directory, and how large each partition in it is. The size of the volume is not told.</summary>
internal sealed class DescribeLogDirsApi(BrokerServices services) : Api<DescribeLogDirsRequest, DescribeLogDirsResponse>
{
    private readonly string _directory = Path.GetFullPath(services.Log.Path);

    protected override ValueTask<DescribeLogDirsResponse?> HandleAsync(DescribeLogDirsRequest request, RequestContext context)
    {
        IEnumerable<PartitionLog> partitions = request.Topics is null
            ? services.Topics.All.SelectMany(topic => topic.Partitions).OfType<PartitionLog>()
            : request.Topics.SelectMany(topic => topic.Partitions.Select(index => new TopicPartition(topic.Name, index)))
                .Distinct().Select(services.Topics.Find).OfType<PartitionLog>();
        return new(new DescribeLogDirsResponse
        {
            Results =
            [
                new DescribeLogDirsResult
                {
                    LogDir = _directory,
                    Topics =
                    [
                        .. partitions.GroupBy(partition => partition.TopicPartition.Topic, StringComparer.Ordinal)
                            .OrderBy(topic => topic.Key, StringComparer.Ordinal)
                            .Select(topic => new DescribeLogDirsTopic { Name = topic.Key, Partitions = [.. topic.Select(Describe)] }),
                    ],
                },
            ],
        });
    }

    private static DescribeLogDirsPartition Describe(PartitionLog partition) =>
        new() { Index = partition.TopicPartition.Partition, PartitionSize = partition.LogByteCount };
}
