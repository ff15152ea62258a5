using System.Globalization;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;

namespace RecBackend.Http.Ranking;

/// <summary>Writes the reply of <c>POST /v1/rank</c> by hand: each candidate costs a copy of its ID and one formatted number.</summary>
internal static class RankReplyWriter
{
    /// <summary>Writes <paramref name="ranking"/> to the exchange's reply.</summary>
    /// <param name="exchange">Holds the request, its ID and the reply.</param>
    /// <param name="ranking">The answer.</param>
    /// <param name="layout">Names of the statistics, if the caller wants an explanation and a bundle answered.</param>
    /// <param name="took">Time since the request was read.</param>
    public static void Write(RankExchange exchange, Core.Ranking.Ranking ranking, ModelLayout? layout, TimeSpan took)
    {
        var reply = exchange.Reply;
        reply.Append("{\"request_id\":"u8);
        reply.AppendString(exchange.RequestId.Written);
        reply.Append(",\"model\":"u8);
        AppendNullable(reply, ranking.Model);
        reply.Append(ranking.Mode == RankingMode.Model ? ",\"mode\":\"model\",\"reason\":"u8 : ",\"mode\":\"fallback\",\"reason\":"u8);
        reply.Append(Reason(ranking.Reason));
        AppendItems(exchange, ranking, exchange.Explain ? layout : null);
        AppendUnknown(exchange, ranking);
        AppendFetched(exchange, ranking);
        reply.Append(",\"took_us\":"u8);
        reply.AppendNumber(Microseconds(took));
        if (exchange.Explain)
        {
            AppendStages(reply, ranking.Times);
        }

        reply.Append("}"u8);
    }

    private static ReadOnlySpan<byte> Reason(FallbackReason reason) => reason switch
    {
        FallbackReason.None => "null"u8,
        FallbackReason.NoModel => "\"no_model\""u8,
        FallbackReason.Overloaded => "\"overloaded\""u8,
        FallbackReason.DeadlineExceeded => "\"deadline_exceeded\""u8,
        FallbackReason.UserUnavailable => "\"user_unavailable\""u8,
        _ => throw new InvalidOperationException($"The fallback's reason {reason} has no name in the API."),
    };

    private static void AppendItems(RankExchange exchange, Core.Ranking.Ranking ranking, ModelLayout? explained)
    {
        var (reply, candidates) = (exchange.Reply, exchange.Request.Candidates);
        var opening = ",\"items\":[{\"id\":"u8;
        foreach (ref readonly var item in ranking.Items)
        {
            reply.Append(opening);
            reply.AppendString(candidates[item.Candidate]);
            reply.Append(",\"score\":"u8);
            reply.AppendNumber(item.Score);
            reply.Append(item.Cold ? ",\"cold\":true"u8 : ",\"cold\":false"u8);
            if (explained is not null)
            {
                AppendFeatures(reply, explained.Statistics, ranking.Statistics(item));
            }

            reply.Append("}"u8);
            opening = ",{\"id\":"u8;
        }

        reply.Append(ranking.Items.IsEmpty ? ",\"items\":[]"u8 : "]"u8);
    }

    private static void AppendFeatures(Utf8Buffer reply, IReadOnlyList<StatisticField> fields, ReadOnlySpan<float> values)
    {
        reply.Append(",\"features\":{"u8);
        for (var i = 0; i < Math.Min(fields.Count, values.Length); i++)
        {
            reply.Append(i == 0 ? ""u8 : ","u8);
            reply.AppendString(Name(fields[i].Kind));
            reply.Append(":"u8);
            reply.AppendNumber(values[i]);
        }

        reply.Append("}"u8);
    }

    private static string Name(StatisticKind kind) => kind switch
    {
        StatisticKind.Impressions => "impressions",
        StatisticKind.ClickRate => "click_rate",
        StatisticKind.Age => "age",
        _ => throw new InvalidOperationException(string.Create(CultureInfo.InvariantCulture, $"The statistic {kind} has no name in the API.")),
    };

    private static void AppendUnknown(RankExchange exchange, Core.Ranking.Ranking ranking)
    {
        var reply = exchange.Reply;
        reply.Append(",\"unknown\":["u8);
        for (var i = 0; i < ranking.Unknown.Length; i++)
        {
            reply.Append(i == 0 ? ""u8 : ","u8);
            reply.AppendString(exchange.Request.Candidates[ranking.Unknown[i]]);
        }

        reply.Append("]"u8);
    }

    /// <summary>Absent but for the rare case.</summary>
    private static void AppendFetched(RankExchange exchange, Core.Ranking.Ranking ranking)
    {
        var reply = exchange.Reply;
        for (var i = 0; i < ranking.Fetched.Count; i++)
        {
            reply.Append(i == 0 ? ",\"fetched\":["u8 : ","u8);
            reply.AppendString(exchange.Request.Candidates[ranking.Fetched[i]]);
        }

        reply.Append(ranking.Fetched.Count > 0 ? "]"u8 : ""u8);
    }

    private static void AppendStages(Utf8Buffer reply, StageTimes times)
    {
        reply.Append(",\"stages_us\":{\"wait\":"u8);
        reply.AppendNumber(Microseconds(times.Wait));
        reply.Append(",\"user_read\":"u8);
        reply.AppendNumber(Microseconds(times.UserRead));
        reply.Append(",\"gather\":"u8);
        reply.AppendNumber(Microseconds(times.Gather));
        reply.Append(",\"run\":"u8);
        reply.AppendNumber(Microseconds(times.Run));
        reply.Append(",\"total\":"u8);
        reply.AppendNumber(Microseconds(times.Total));
        reply.Append("}"u8);
    }

    private static void AppendNullable(Utf8Buffer reply, string? text)
    {
        if (text is null)
        {
            reply.Append("null"u8);
        }
        else
        {
            reply.AppendString(text);
        }
    }

    private static long Microseconds(TimeSpan time) => time.Ticks / TimeSpan.TicksPerMicrosecond;
}
