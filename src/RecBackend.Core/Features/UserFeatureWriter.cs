using System.Text;
using RecBackend.Core.Catalog;
using RecBackend.Core.Models;
using RecBackend.Core.Users;

namespace RecBackend.Core.Features;

/// <summary>What the user encoder reads of a user: docs/bundle-format.md, section 2.</summary>
internal static class UserFeatureWriter
{
    /// <summary>Fills <paramref name="features"/> for a user.</summary>
    /// <param name="user">The user.</param>
    /// <param name="serving">The model and the rows of its items.</param>
    /// <param name="features">Buffers of the model's layout; overwritten.</param>
    public static void Write(UserSnapshot user, ServingModel serving, UserFeatures features)
    {
        var layout = serving.Layout;
        serving.Model.TryGetUserEmbedding(user.Id, features.UserEmbedding);
        for (var i = 0; i < layout.Profile.Count; i++)
        {
            features.Profile[i] = layout.Profile[i].IdOf(user.Attributes.GetValueOrDefault(layout.Profile[i].Name));
        }

        StatisticFeatures.WriteUser(layout.UserStatistics, user.Impressions, user.Clicks, features.UserStatistics);
        WriteHistory(user, serving, features);
    }

    /// <summary>When the newest event of the user's history happened, as the model sees the history; null if it is empty.</summary>
    public static long? NewestEvent(UserSnapshot user, ServingModel serving)
    {
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        foreach (ref readonly var entry in user.History.AsSpan())
        {
            if (ActionOf(serving.Layout, entry.Action) != 0 && serving.Catalog.Contains(utf8[..Encoding.UTF8.GetBytes(entry.Item, utf8)]))
            {
                return entry.Timestamp;
            }
        }

        return null;
    }

    /// <summary>
    /// A hash of which rows the history is read from, and in which version: while it is the same, <see cref="Write"/> would write the same history of this user.
    /// </summary>
    public static ulong HistoryRows(UserSnapshot user, ServingModel serving)
    {
        var (layout, catalog) = (serving.Layout, serving.Catalog);
        var (length, hash) = (0, 0UL);
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        for (var i = 0; i < user.History.Length && length < layout.History; i++)
        {
            var entry = user.History[i];
            if (ActionOf(layout, entry.Action) != 0 && catalog.TryGetRowVersion(utf8[..Encoding.UTF8.GetBytes(entry.Item, utf8)], out var version))
            {
                hash = IdHash.Mix(hash + (ulong)i, (ulong)version);
                length++;
            }
        }

        return hash;
    }

    private static void WriteHistory(UserSnapshot user, ServingModel serving, UserFeatures features)
    {
        var (layout, catalog) = (serving.Layout, serving.Catalog);
        var newest = 0L;
        var length = 0;
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        foreach (ref readonly var entry in user.History.AsSpan())
        {
            if (length == layout.History)
            {
                break;
            }

            // An event of another bundle's action or of a deleted item is not part of the history; the next older one takes its place.
            var action = ActionOf(layout, entry.Action);
            var vectors = features.History.AsSpan(length * catalog.VectorWidth, catalog.VectorWidth);
            if (action == 0 || !catalog.TryGetRow(utf8[..Encoding.UTF8.GetBytes(entry.Item, utf8)], vectors))
            {
                continue;
            }

            newest = length == 0 ? entry.Timestamp : newest;
            features.Actions[length] = action;
            features.Intervals[length] = (float)Math.Log(1 + Math.Max(0, (newest - entry.Timestamp) / 1000.0));
            features.Mask[length] = 1;
            length++;
        }

        features.History.AsSpan(length * catalog.VectorWidth).Clear();
        features.Actions.AsSpan(length).Clear();
        features.Intervals.AsSpan(length).Clear();
        features.Mask.AsSpan(length).Clear();
    }

    /// <summary>Place of an event type in the bundle's actions + 1; 0 if it is none of them.</summary>
    private static int ActionOf(ModelLayout layout, string type)
    {
        for (var i = 0; i < layout.Actions.Count; i++)
        {
            if (layout.Actions[i] == type)
            {
                return i + 1;
            }
        }

        return 0;
    }
}
