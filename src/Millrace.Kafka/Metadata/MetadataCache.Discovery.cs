using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <content>Topics that nobody has named yet: all of them, for subscriptions by pattern, and those that a coordinator names by id.</content>
internal sealed partial class MetadataCache
{
    /// <summary>The first version that asks by id.</summary>
    private const short FirstVersionById = 12;

    private bool _tracksAll;
    private bool _hasAll;

    /// <summary>Whether the picture holds all topics, as old as the last refresh.</summary>
    public bool HasAll => Volatile.Read(ref _hasAll);

    /// <summary>Keeps every topic of the cluster in the picture from the next refresh on.</summary>
    public void TrackAll()
    {
        lock (_gate)
        {
            _tracksAll = true;
        }
    }

    /// <summary>Brings topics into the picture that are known by their ids only, and keeps them there.</summary>
    /// <exception cref="KafkaException">No broker answered, or none can be asked by id.</exception>
    public async Task FindByIdAsync(IReadOnlyCollection<Guid> ids, CancellationToken cancellationToken)
    {
        var request = new MetadataRequest
        {
            Topics = [.. ids.Select(id => new MetadataRequestTopic { TopicId = id, Name = null })],
            AllowAutoTopicCreation = false,
        };
        await _round.TakeAsync(cancellationToken);
        try
        {
            (MetadataResponse response, short version) = await AskAsync(request, FirstVersionById, cancellationToken);
            Take(response, version, only: null);
            TrackWithoutCreating(response.Topics.Where(topic => topic.Name is not null).Select(topic => topic.Name!));
        }
        finally
        {
            _round.Release();
        }

        Changed?.Invoke();
    }

    /// <summary>
    /// Takes over all topics of the cluster, and drops what is not among them. Takes those out of <paramref name="tracked"/> that are: the others have
    /// yet to be asked for by name.
    /// </summary>
    private async Task TakeAllAsync(List<string>[] tracked, CancellationToken cancellationToken)
    {
        (MetadataResponse response, short version) = await AskAsync(topics: null, createTopics: false, cancellationToken);
        HashSet<string> found = [.. response.Topics.Where(topic => topic.Name is not null).Select(topic => topic.Name!)];
        Array.ForEach(tracked, topics => topics.RemoveAll(found.Contains));
        Take(response, version, found);
        Volatile.Write(ref _hasAll, true);
    }
}
